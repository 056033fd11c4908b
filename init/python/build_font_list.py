"""Runs once, when the package is built: makes matplotlib's list of fonts and its matplotlibrc in the directory given."""

import dataclasses
import json
import os
import sys

directory, rc_template = sys.argv[1:]
os.environ["MPLCONFIGDIR"] = "/tmp/matplotlib-build"

import matplotlib

matplotlib.get_cachedir = lambda: directory
from matplotlib import font_manager as fm

# Fonts that programs ask for by the name they have elsewhere, and the one here that has the same widths or the same characters.
# Without these matplotlib writes "findfont: Font family not found" once for each text.
ALIASES = {
    "Liberation Sans": ["Arial", "Helvetica"],
    "Liberation Serif": ["Times New Roman", "Times"],
    "Liberation Mono": ["Courier New", "Courier"],
    # Bitstream Vera has been DejaVu for twenty years; seaborn still lists it, last but one, which is where text in Chinese,
    # Japanese or Korean then finds its characters
    "Noto Sans CJK JP": ["Noto Sans CJK SC", "Noto Sans CJK TC", "Noto Sans CJK KR", "SimHei", "Microsoft YaHei", "Arial Unicode MS",
                         "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "PingFang SC", "Heiti SC", "Heiti TC", "Hiragino Sans GB", "Hiragino Sans",
                         "Yu Gothic", "MS Gothic", "IPAexGothic", "TakaoPGothic", "Malgun Gothic", "NanumGothic", "AppleGothic", "Bitstream Vera Sans"],
    "Noto Serif CJK JP": ["Noto Serif CJK SC", "Noto Serif CJK TC", "Noto Serif CJK KR", "SimSun", "Songti SC", "Yu Mincho", "MS Mincho"],
}

manager = fm._load_fontmanager(try_read_cache=False)
there = {entry.name for entry in manager.ttflist}
for name, aliases in ALIASES.items():
    for entry in [entry for entry in manager.ttflist if entry.name == name]:
        for alias in aliases:
            if alias not in there:
                manager.ttflist.append(dataclasses.replace(entry, name=alias))

path = os.path.join(directory, f"fontlist-v{fm.FontManager.__version__}.json")
fm.json_dump(manager, path)
# the file lists fonts in the order the file system did; sorted, equal fonts make an equal package
with open(path) as file:
    content = json.load(file)
for key in ("ttflist", "afmlist"):
    content[key].sort(key=lambda entry: (entry["fname"], entry["name"]))
with open(path, "w") as file:
    json.dump(content, file, indent=1)

families = [name for name in ("DejaVu Sans", "Noto Sans CJK JP") if name in there]
with open(rc_template) as source, open(os.path.join(directory, "matplotlibrc"), "w") as target:
    target.write(source.read() + f"font.family: {', '.join(families)}\n")
