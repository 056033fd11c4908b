# Python runs this before every program. Whatever stands here costs every run: keep it to what must come before the program.
import matplotlib_codeapi

matplotlib_codeapi.install()
del matplotlib_codeapi
