"""Runs once, when the package is built: writes matplotlib's list of fonts into the directory given."""

import dataclasses
import json
import os
import sys

directory = sys.argv[1]

import matplotlib

matplotlib.get_cachedir = lambda: "/tmp/matplotlib-build"
os.makedirs("/tmp/matplotlib-build")
from matplotlib import font_manager as fm

# Fonts that programs ask for by the names they have elsewhere, under the one here that has the same widths or the same characters.
# Without these matplotlib writes "findfont: Font family not found" for each text.
ALIASES = {
    "Liberation Sans": ["Arial", "Helvetica"],
    "Liberation Serif": ["Times New Roman", "Times"],
    "Liberation Mono": ["Courier New", "Courier"],
    "Noto Sans CJK SC": ["SimHei", "Microsoft YaHei", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "PingFang SC", "Heiti SC", "Hiragino Sans GB",
                         "STHeiti", "Noto Sans SC", "Source Han Sans SC", "Arial Unicode MS"],
    "Noto Sans CJK TC": ["Microsoft JhengHei", "PingFang TC", "Heiti TC", "Noto Sans TC"],
    "Noto Sans CJK JP": ["Hiragino Sans", "Yu Gothic", "Meiryo", "MS Gothic", "IPAexGothic", "IPAGothic", "TakaoPGothic", "Noto Sans JP"],
    "Noto Sans CJK KR": ["Malgun Gothic", "NanumGothic", "AppleGothic", "Noto Sans KR"],
    "Noto Serif CJK SC": ["SimSun", "Songti SC", "STSong", "KaiTi", "FangSong"],
    "Noto Serif CJK JP": ["Yu Mincho", "MS Mincho", "IPAexMincho"],
}

manager = fm.FontManager()
there = {entry.name for entry in manager.ttflist}
for name, aliases in ALIASES.items():
    for entry in [entry for entry in manager.ttflist if entry.name == name]:
        manager.ttflist.extend(dataclasses.replace(entry, name=alias) for alias in aliases if alias not in there)

path = os.path.join(directory, f"fontlist-v{fm.FontManager.__version__}.json")
fm.json_dump(manager, path)
# the list is in the order of the file system; sorted, equal fonts make an equal package
with open(path) as file:
    content = json.load(file)
for key in ("ttflist", "afmlist"):
    content[key].sort(key=lambda entry: json.dumps(entry, sort_keys=True))
with open(path, "w") as file:
    json.dump(content, file, indent=1)
