"""``windlass migrate``: what of an older task system a program uses, and what to write instead.

A program is read file by file, with LibCST, so that what is not changed stays as it was, blanks and
all. Nothing of it is imported or run.

What is certain, and what is not
    A name that Windlass has under another path is certain: it is the same object. A manager is
    certain if everything that a file does with it is: a half of its calls moved to Windlass and a
    half left behind would be two managers. So the unit is one manager in one file, and where a
    single use needs a person, that use gets a comment and the others wait for it.

``vocabulary`` says what there was and what to write instead; ``calls`` rewrites single calls;
``managers`` finds the managers of a file and whether they can go; ``files`` puts a file together
again, ``program`` does so for all of them, and ``report`` tells of it.
"""
