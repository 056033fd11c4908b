# Python runs this before every program. Whatever stands here costs every run: keep it to what must come before the program.
import codeapi_matplotlib

codeapi_matplotlib.install()
del codeapi_matplotlib
