# Python runs this before every program. Whatever stands here costs every run: keep it to what must come before the program.
import matplotlib_codeapi

matplotlib_codeapi.install()
del matplotlib_codeapi

# What some modules say when they are imported, to whoever imports them: a program's stderr is the program's. Added in C's own list, since
# importing `warnings` takes longer than all the rest here; texts must match exactly.
import _warnings

for name in 'sre_compile', 'sre_constants', 'sre_parse':
    _warnings.filters.insert(0, ('ignore', f"module '{name}' is deprecated", DeprecationWarning, None, 0))
for name in 'aifc', 'chunk':
    text = (
        f'{name} was removed in Python 3.13. Please be aware that you are currently NOT using '
        f"standard '{name}', but instead a separately installed 'standard-{name}'."
    )
    _warnings.filters.insert(0, ('ignore', text, DeprecationWarning, None, 0))
text = "Couldn't find ffmpeg or avconv - defaulting to ffmpeg, but may not work"
_warnings.filters.insert(0, ('ignore', text, RuntimeWarning, None, 0))
_warnings._filters_mutated()
del _warnings, name, text
