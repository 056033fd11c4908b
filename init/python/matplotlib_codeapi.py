"""What a program with plots expects, without a screen: `plt.show()` writes `plot_1.png`, `plot_2.png`, ... into the current directory,
text in Chinese, Japanese or Korean has its characters, and no time goes into looking for fonts.

Nothing here runs before the program imports matplotlib, and matplotlib's own files stay as they are. The name begins with matplotlib's,
since that is how matplotlib tells its own frames from the program's when it says where a warning comes from.
"""

import sys

DATA = "/usr/local/lib/python3.13/dist-packages/codeapi-matplotlib"
# After the fonts that the program asks for; those that are not there are left out
FALLBACK_FAMILIES = ("DejaVu Sans", "Noto Sans CJK JP")


def install():
    sys.meta_path.insert(0, _AfterImport(_HOOKS))


class _AfterImport:
    """Finds nothing itself: lets the other finders find a module, and has a function called once it is loaded."""

    def __init__(self, hooks):
        self._hooks = hooks

    def find_spec(self, name, path=None, target=None):
        hook = self._hooks.get(name)
        if hook is None:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    _call_after(spec.loader, hook)
                return spec
        return None


def _call_after(loader, hook):
    """On the one loader object of the one module, so that `__loader__` keeps its type and everything it can do."""
    load = loader.exec_module

    def exec_module(module):
        del loader.exec_module
        load(module)
        hook(module)

    loader.exec_module = exec_module


def _use_built_font_list(matplotlib):
    """The list of fonts was made when the package was built; MPLCONFIGDIR is empty in every run and would have it made again."""
    matplotlib.get_cachedir = lambda: DATA


def _fall_back(font_manager):
    """`font.family` is what programs and seaborn set, and a generic family there is one font only: its missing characters are boxes."""
    find = font_manager.FontManager._find_fonts_by_props

    def find_with_fallbacks(self, prop, fontext="ttf", *args, **kwargs):
        found = find(self, prop, fontext, *args, **kwargs)
        if fontext != "ttf":
            return found
        wanted = font_manager.FontProperties._from_any(prop).copy()
        for family in FALLBACK_FAMILIES:
            wanted.set_family(family)
            try:
                path = self.findfont(wanted, fallback_to_default=False)
            except ValueError:
                continue
            if path not in found:
                found.append(path)
        return found

    font_manager.FontManager._find_fonts_by_props = find_with_fallbacks


def _save_on_show(backend_agg):
    import functools
    import os
    import weakref

    from matplotlib import _pylab_helpers, backend_bases

    canvas_class = backend_agg.FigureCanvasAgg
    saved = weakref.WeakSet()
    print_figure = canvas_class.print_figure

    @functools.wraps(print_figure)
    def print_figure_and_remember(self, filename, *args, **kwargs):
        result = print_figure(self, filename, *args, **kwargs)
        # one that went into memory is not a file that anyone can see yet
        if isinstance(filename, (str, os.PathLike)):
            saved.add(self.figure)
        return result

    def save(figure):
        if figure in saved:
            return
        number = 1
        while True:
            name = f"plot_{number}.png"
            try:
                file = open(name, "xb")
                break
            except FileExistsError:
                number += 1
        try:
            with file:
                figure.savefig(file, format="png")
        except BaseException:
            os.unlink(name)
            raise
        saved.add(figure)

    class FigureManager(backend_bases.FigureManagerBase):
        @classmethod
        def pyplot_show(cls, *, block=None):
            """Saves every open figure that the program has not saved itself, then closes them, as a person closes the windows."""
            for manager in _pylab_helpers.Gcf.get_all_fig_managers():
                save(manager.canvas.figure)
            # plt.pause() comes here too, and goes on drawing
            if block is None or block:
                _pylab_helpers.Gcf.destroy_all()

        def show(self):
            save(self.canvas.figure)

    canvas_class.print_figure = print_figure_and_remember
    canvas_class.manager_class = FigureManager


_HOOKS = {
    "matplotlib": _use_built_font_list,
    "matplotlib.font_manager": _fall_back,
    "matplotlib.backends.backend_agg": _save_on_show,
}
