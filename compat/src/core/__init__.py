"""The import paths of an older program's task systems, served by Windlass.

Nothing starts on import. A program that has a package of this name itself keeps its modules: both
are searched, the program's own first if its folder comes first in ``sys.path``.
"""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)
