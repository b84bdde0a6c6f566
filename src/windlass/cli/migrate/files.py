"""One file: what it uses of the old paths, and what of that can be rewritten."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import libcst as cst

from .findings import Action, Finding
from .imports import Imported, is_import, old_imports, whole_modules
from .managers import NEW, Group, settings_of
from .page import Page
from .use import Edits, Undecided, Use
from .vocabulary import CLASS_ADVICE, Advice, Manager, Same, import_names

OLD_ENGINE = "old_manager"
"""What the old global object is called while others still share its engine."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What has to be known of the rest of the program."""

    package: str = ""
    """Where relative imports start from."""
    taken: frozenset[str] = frozenset()
    """The names that other files may get from this one."""
    shares: bool = False
    """Whether other files use the old global objects, which are one engine, as well."""
    hidden: frozenset[str] = frozenset()
    """Old paths that are modules of the program's own."""


class File:
    """A file that imports something from an old path."""

    def __init__(self, source: bytes, around: Surroundings) -> None:
        self.page = Page(source)
        self.around = around
        self.imports = [
            imported
            for imported in old_imports(self.page, around.package)
            if imported.path not in around.hidden
        ]
        self._modules = list(whole_modules(self.page, around.package))
        self.gone: list[Imported] = []
        """What need not be imported any more."""
        self.same: dict[cst.CSTNode, dict[str, str]] = {}
        """What is imported from Windlass in place of a statement: local names, and its own."""
        self.edits = Edits()
        self.comments: dict[cst.CSTNode, list[str]] = {}
        """What to write above a statement."""
        self.findings = sorted(self._look())

    @property
    def is_old(self) -> bool:
        """Whether it uses any old path."""
        return bool(self.imports or self._modules)

    @property
    def uses_shared(self) -> bool:
        """Whether it uses one of the old global objects."""
        return any(isinstance(i.entry, Manager) and i.entry.shared for i in self.imports)

    def left(self) -> set[str]:
        """The old paths it still imports once it is rewritten."""
        paths = {i.path for i in self.imports if i not in self.gone}
        if any(OLD_ENGINE in line for lines in self.edits.after.values() for line in lines):
            paths.add("core.task")
        return paths | {path for _, path in self._modules}

    # -- looking -------------------------------------------------------------------------------

    def _look(self) -> list[Finding]:
        findings: list[Finding] = []
        alone = Group(self.page)
        for node, path in self._modules:
            alone.decide(node, import_names(path).text)
        groups: dict[str, list[Imported]] = {}
        for imported in self.imports:
            if len(imported.statement.body) > 1:
                alone.decide(imported.node, "write one statement a line")
            elif isinstance(imported.entry, Manager):
                shared = imported.entry.shared
                groups.setdefault("" if shared else imported.local, []).append(imported)
            elif isinstance(imported.entry, Same):
                names = self.same.setdefault(imported.statement, {})
                names[imported.local] = imported.entry.name
                self.gone.append(imported)
                alone.found(imported.node, f"from windlass import {imported.entry.name}")
            else:
                self._look_at_other(alone, imported, imported.entry)
        findings += alone.findings  # each stands for itself
        self.comments.update(alone.comments)
        for name, members in groups.items():
            findings += self._look_at_group(members, shared=not name)
        return findings

    def _look_at_other(self, group: Group, imported: Imported, entry: Advice) -> None:
        if self._drop_unused(group, imported):
            return
        action = Action.WAIT if entry.stays else Action.DECIDE
        for node in self.page.loads(imported.local):
            group.found(node, entry.text, action)
        if entry.stays:
            group.found(imported.node, entry.text, action)
        else:
            group.decide(imported.node, entry.text)

    def _drop_unused(self, group: Group, imported: Imported) -> bool:
        used = self.page.names.get(imported.local) or imported.local in self._offered
        if not used:
            self.gone.append(imported)
            group.found(imported.node, "nothing: it is not used")
        return not used

    @cached_property
    def has_another_windlass(self) -> bool:
        """Whether it calls something else ``windlass``."""
        page = self.page
        return any(node in page.bindings for node in page.names.get("windlass", [])) or any(
            alias.evaluated_name != "windlass" or not isinstance(page.parent(alias), cst.Import)
            for alias in page.imports_of("windlass")
        )

    @cached_property
    def _offered(self) -> frozenset[str]:
        """The names that others may import from here."""
        named = {
            str(text.evaluated_value)
            for assign in self.page.all(cst.Assign)
            if self.page.code(assign.targets[0].target) == "__all__"
            for text in self.page.all(cst.SimpleString)
            if assign in self.page.above(text)
        }
        return self.around.taken | named

    def _look_at_group(self, members: list[Imported], *, shared: bool) -> list[Finding]:
        group = Group(self.page)
        members = [one for one in members if not self._drop_unused(group, one)]
        made: list[str] = []
        if members and self.has_another_windlass:
            group.decide(members[0].node, "something of the file's own is called windlass")
        for imported in members:
            if shared and imported.local not in made:
                made += self._shared(group, imported, members)
            elif not shared:
                self._instances(group, imported)
        if members:
            group.check_order()
        findings = group.settle()
        self.comments.update(group.comments)
        if not group.stuck and not (shared and self._stay(members)):
            self.gone += members
            self.edits.add(group.edits)
            if made:
                self._make_shared(group, members, made)
        return findings

    def _stay(self, members: list[Imported]) -> bool:
        """Whether nothing can be done about old global objects but to wait for the other files."""
        return self.around.shares and all(map(self._is_bridge_to_old, members))

    def _shared(self, group: Group, imported: Imported, members: list[Imported]) -> list[str]:
        """Look at an old global object; returns what the file calls it."""
        assert isinstance(imported.entry, Manager)
        kind, key = imported.entry.kind, imported.local
        if kind in CLASS_ADVICE:
            group.decide(imported.node, CLASS_ADVICE[kind])
        elif not imported.at_top:
            group.decide(imported.node, "import it at the top of the file: one for the program")
        else:
            self._note_making(group, imported.node, imported)
        if key in self._offered:
            group.decide(imported.node, "other files may import it from here")
        group.look_at(key, kind, {one.node for one in members if one.local == key})
        if self.around.shares:
            for use in group.uses:
                if use.key == key and use.attribute in {"stop", "shutdown"}:
                    group.decide(use.call, "it would stop the tasks of the other files as well")
        return [key]

    def _note_making(self, group: Group, node: cst.CSTNode, imported: Imported) -> None:
        if not self.around.shares:
            group.found(node, NEW)
        elif self._is_bridge_to_old(imported):
            line, column = self.page.place(node)
            text = f"{NEW}, when no other file uses the old paths any more"
            group.findings.append(Finding(line, column, imported.name, text, Action.WAIT))
        else:
            group.found(node, f"the Windlass manager behind it: {imported.local}.windlass")

    def _is_bridge_to_old(self, imported: Imported) -> bool:
        """Whether all that is used of it is the Windlass manager behind it."""
        uses = self.page.loads(imported.local)
        ups = [self.page.parent(node) for node in uses]
        return all(isinstance(up, cst.Attribute) and up.attr.value == "windlass" for up in ups)

    def _make_shared(self, group: Group, members: list[Imported], keys: list[str]) -> None:
        """Put below the imports what makes what takes the place of the old global objects."""
        first, *others = keys
        if self.around.shares:
            lines = [
                f"from core.task import task_manager as {OLD_ENGINE}",
                f"\n{first} = {OLD_ENGINE}.windlass",
            ]
        else:
            lines = [f"\n{first} = {NEW}"]
        lines += [f"{key} = {first}" for key in others]
        if not group.starts_itself():
            lines.append(f"{first}.start()")
        self.edits.after.setdefault(self._end_of_imports(members), []).extend(lines)

    def _end_of_imports(self, members: list[Imported]) -> cst.CSTNode:
        body = self.page.module.body
        at = max(body.index(imported.statement) for imported in members)
        while at + 1 < len(body) and is_import(body[at + 1]):
            at += 1
        return body[at]

    def _instances(self, group: Group, imported: Imported) -> None:
        """Look at a class of managers, and at those that are made of it."""
        assert isinstance(imported.entry, Manager)
        kind = imported.entry.kind
        if kind in CLASS_ADVICE:
            group.decide(imported.node, CLASS_ADVICE[kind])
        else:
            group.found(imported.node, "windlass.TaskManager")
        if imported.local in self._offered:
            group.decide(imported.node, "other files may import it from here")
        made: dict[str, dict[cst.CSTNode, cst.CSTNode]] = {}
        for node in self.page.names.get(imported.local, []):
            self._look_at_making(group, node, kind, made)
        for key, targets in made.items():
            if key.removeprefix("self.") in self._offered:
                group.decide(next(iter(targets)), "other files may use it: they all go together")
            group.look_at(key, kind, set(targets))
            if not group.starts_itself(key):
                for line in targets.values():
                    group.edits.after.setdefault(line, []).append(f"{key}.start()")

    def _look_at_making(
        self,
        group: Group,
        node: cst.Name,
        kind: str,
        made: dict[str, dict[cst.CSTNode, cst.CSTNode]],
    ) -> None:
        """Look at one mention of a class, which should be a call of it."""
        page, call = self.page, self.page.parent(node)
        if not (isinstance(call, cst.Call) and call.func is node):
            group.decide(node, "it is not just called here: write windlass.TaskManager by hand")
            return
        named = self._named(call)
        if named is None:
            group.decide(node, "give it a name of its own first: tm = ...")
            return
        target, line = named
        key = page.code(target)
        made.setdefault(key, {})[target] = line
        if kind in CLASS_ADVICE:
            group.decide(call, CLASS_ADVICE[kind], comment=False)
            return
        try:
            settings = settings_of(Use(page, kind, key, "TaskManager", call))
        except Undecided as undecided:
            group.decide(call, str(undecided))
            return
        given = "".join(f", {name}={value}" for name, value in settings.items())
        new = f"{NEW[:-1]}{given})"
        group.found(call, new)
        group.edits.nodes[call] = lambda _: cst.parse_expression(new)

    def _named(self, call: cst.Call) -> tuple[cst.CSTNode, cst.SimpleStatementLine] | None:
        """The one name that is given to what ``call`` makes, and the statement that does so.

        None if there are more, or one by which others may know it.
        """
        page, assign = self.page, self.page.parent(call)
        if not (isinstance(assign, cst.Assign) and len(assign.targets) == 1):
            return None
        line, target = page.parent(assign), assign.targets[0].target
        if not (isinstance(line, cst.SimpleStatementLine) and len(line.body) == 1):
            return None
        if isinstance(target, cst.Name):
            return None if page.in_class_body(target) else (target, line)
        of_self = isinstance(target, cst.Attribute) and page.code(target.value) == "self"
        return (target, line) if of_self else None
