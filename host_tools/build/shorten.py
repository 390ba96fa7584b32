"""Shortens the firmware's own names on their way into the image: every byte of a name costs flash, and heap on the board.

Only what the firmware defines is renamed (functions, classes, arguments, attributes, module-level names), and never a name
that MicroPython, a string or a file also uses. What one module knows of another is renamed alike everywhere; what it keeps to
itself may share its short name with what another keeps to itself, for a board holds each name once. `const` needs no import
once the compiler has folded it, and a package file without code is not needed at all. The source stays as it is.
"""

from __future__ import annotations

import ast
import importlib.metadata
import io
import itertools
import keyword
import re
import string
import tokenize
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import PurePosixPath

from host_tools.errors import EXIT_ENVIRONMENT, UserError
from host_tools.text import say

_STUBS = ("micropython-esp32-stubs", "micropython-stdlib-stubs")
# What the firmware holds without importing it: builtins, and the files and sockets that asyncio and open() give.
_ALWAYS = frozenset(("builtins", "io", "socket", "select"))
# Names that MicroPython's own tables hold in every build, so that an .mpy has them as a number, and no heap holds their letters
# (static_qstr_list of its source, py/makeqstrdata.py). One that the firmware uses itself is left alone.
_IN_ROM = (
    "chr dir ord pow map eval exec iter repr sort sep throw divmod format locals lstrip rsplit globals islower isspace isupper "
    "popitem reverse rindex callable builtins bytecode endswith readline setdefault issubclass classmethod staticmethod "
    "NoneType EOFError Ellipsis NameError SystemExit ImportError LookupError SyntaxError StopIteration GeneratorExit "
    "BaseException OverflowError AssertionError ArithmeticError IndentationError ZeroDivisionError NotImplementedError"
)
ROM_NAMES = tuple(_IN_ROM.split())
# And names of its math and of others of its modules: no number, but short, and their letters are in no heap either.
_SHORT_IN_ROM = (
    "e pi sin cos tan exp log sub erf nan inf tau acos asin atan sinh cosh tanh ceil fabs fmod modf log2 sqrt erfc span rect"
)
ROM_WORDS = tuple(_SHORT_IN_ROM.split())
_SHORTEST = 3  # a name of fewer letters is left alone
_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")
_FOLDED_IMPORT = "from micropython import const\n"


def shorten(sources: dict[str, bytes], entry: str) -> dict[str, bytes]:
    """The same modules with short names; `entry` (main.py) is kept to the letter and so are the names in it.

    Where a module does not parse, all are left as they are: the compiler then says what is wrong with it.
    """
    try:
        trees = {path: ast.parse(source) for path, source in sources.items()}
    except (SyntaxError, ValueError):
        return sources
    for path, tree in trees.items():
        if any(isinstance(node, ast.JoinedStr) for node in ast.walk(tree)):
            # Before Python 3.12 an f-string is one token, and the names in it would keep their length.
            raise UserError(
                say(f"firmware/{path}: không dùng được f-string", f"firmware/{path}: f-strings cannot be used"),
                hint=say("dùng định dạng với %", "use % formatting"),
            )
        if any(isinstance(node, ast.ImportFrom) and node.names[0].name == "*" for node in ast.walk(tree)):
            raise UserError(
                say(f"firmware/{path}: không dùng được import *", f"firmware/{path}: import * cannot be used"),
                hint=say("ghi tên cần dùng", "import names"),
            )
    kept = _external_names(frozenset(_imported(trees.values()))) | _file_names(sources)
    kept |= set(_WORD.findall(sources[entry].decode()))
    for tree in trees.values():
        kept |= _words_of_strings(tree)
    groups = _groups(trees)
    counts: dict[str, Counter[str]] = {group: Counter() for group in groups.values()}
    everything = set(kept)
    for path, source in sources.items():
        names = [token.string for token in _tokens(source) if token.type == tokenize.NAME]
        counts[groups[path]].update(names)
        everything.update(names)
    wanted = {name for tree in trees.values() for name in _defined(tree)}
    wanted = {name for name in wanted if name not in kept and len(name) >= _SHORTEST and not name.startswith("__")}
    mappings = _mappings(wanted, _met_outside(trees.values()), counts, everything)
    shortened = {}
    for path, source in sources.items():
        if path == entry:
            shortened[path] = source
        elif _has_code(trees[path]):
            shortened[path] = _rename(source, mappings[groups[path]])
    return shortened


def _mappings(
    wanted: set[str], outside: set[str], counts: dict[str, Counter[str]], everything: set[str]
) -> dict[str, dict[str, str]]:
    """Group -> (long name -> short name). The commonest first, then by name: the same source gives the same names."""
    fresh = (name for name in _short_names() if name not in everything)
    everywhere: Counter[str] = Counter()
    for name in wanted & outside:
        everywhere[name] = sum(count[name] for count in counts.values())
    own = {
        group: sorted((name for name in wanted - outside if count[name]), key=lambda name: (-count[name], name))
        for group, count in counts.items()
    }
    # What a group of modules keeps to itself may be called what something else is called in another one.
    pool = list(itertools.islice(fresh, max(map(len, own.values()), default=0)))
    common = dict(zip(sorted(everywhere, key=lambda name: (-everywhere[name], name)), fresh, strict=False))
    return {group: {**common, **dict(zip(names, pool, strict=False))} for group, names in own.items()}


def _groups(trees: dict[str, ast.Module]) -> dict[str, str]:
    """Path -> the group of its module: modules whose classes inherit from each other share their instances' attributes."""
    groups = {path: path for path in trees}

    def home(path: str) -> str:
        while groups[path] != path:
            path = groups[path]
        return path

    of_class: dict[str, list[str]] = {}
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                of_class.setdefault(node.name, []).append(path)
    for path, tree in trees.items():
        imported = {alias.asname: alias.name for alias in ast.walk(tree) if isinstance(alias, ast.alias) and alias.asname}
        for node in ast.walk(tree):
            for base in node.bases if isinstance(node, ast.ClassDef) else ():
                name = base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
                for other in of_class.get(imported.get(name, name), ()):  # two classes of one name: either may be meant
                    groups[home(path)] = home(other)
    return {path: home(path) for path in groups}


def _met_outside(trees: Iterable[ast.Module]) -> set[str]:
    """Names that may be met outside the group that defines them: attributes of anything but `self`, keywords, imports."""
    found: set[str] = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and not (isinstance(node.value, ast.Name) and node.value.id == "self"):
                found.add(node.attr)
            elif isinstance(node, ast.keyword) and node.arg:
                found.add(node.arg)
            elif isinstance(node, ast.alias):
                found.update(node.name.split("."))
    return found


def _has_code(tree: ast.Module) -> bool:
    return any(not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)) for node in tree.body)


def _tokens(source: bytes) -> list[tokenize.TokenInfo]:
    return list(tokenize.generate_tokens(io.StringIO(source.decode()).readline))


def _rename(source: bytes, mapping: dict[str, str]) -> bytes:
    """The source with every NAME token of the mapping replaced; line numbers stay."""
    text = source.decode()
    lines = text.splitlines(keepends=True)
    for token in reversed(_tokens(source)):
        if token.type == tokenize.NAME and token.string in mapping:
            row, column = token.start
            line = lines[row - 1]
            lines[row - 1] = line[:column] + mapping[token.string] + line[column + len(token.string) :]
    return "".join(lines).replace(_FOLDED_IMPORT, "\n").encode()


def _defined(tree: ast.Module) -> set[str]:
    """Names that a module defines: functions, classes, arguments, attributes it sets, and what stands at its top level."""
    found = _declared(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
    for node in tree.body:
        for target in node.targets if isinstance(node, ast.Assign) and not _folded(node) else ():
            found.update(leaf.id for leaf in ast.walk(target) if isinstance(leaf, ast.Name))
    return found


def _folded(node: ast.Assign) -> bool:
    """A private constant that the compiler folds away takes no space, as long as it keeps its leading underscore."""
    value, target = node.value, node.targets[0]
    called = isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "const"
    return called and isinstance(target, ast.Name) and target.id.startswith("_")


def _words_of_strings(tree: ast.Module) -> set[str]:
    """Words in string constants other than docstrings: setting names, module names given to __import__, JSON members."""
    docstrings = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            docstrings.add(id(node.value))
    words: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            words.update(_WORD.findall(node.value))
    return words


def _file_names(sources: dict[str, bytes]) -> set[str]:
    return {part for path in sources for part in PurePosixPath(path).with_suffix("").parts}


def _imported(trees: Iterable[ast.Module]) -> set[str]:
    """The top-level modules that the firmware imports."""
    found: set[str] = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found


@cache
def _external_names(imported: frozenset[str]) -> frozenset[str]:
    """Every name of the builtins and of the imported modules of an ESP32 build, by its published stubs."""
    names = set(keyword.kwlist)
    modules = imported | _ALWAYS
    for distribution in _STUBS:
        try:
            files = importlib.metadata.files(distribution) or []
        except importlib.metadata.PackageNotFoundError:
            files = []
        if not files:
            raise UserError(
                say(f"thiếu gói {distribution}", f"the package {distribution} is missing"),
                hint=say("chạy 'make' để cài lại .venv", "run 'make' to install .venv again"),
                exit_code=EXIT_ENVIRONMENT,
            )
        for file in files:
            path = PurePosixPath(str(file))
            parts = [part for part in path.with_suffix("").parts if part != "stdlib"]
            if path.suffix == ".pyi":
                names.update(parts)
                if parts[0] in modules:
                    names.update(_stub_names(ast.parse(file.read_text(encoding="utf-8"))))
    return frozenset(names)


def _declared(tree: ast.Module) -> set[str]:
    """Names of functions, classes and arguments."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
    return found


def _stub_names(tree: ast.Module) -> set[str]:
    found = _declared(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.alias):
            found.update((node.asname or node.name).split("."))
    return found


def _short_names():
    """Those that cost least, then a, b … z, A … Z, then two letters, and so on."""
    yield from (*ROM_NAMES, *ROM_WORDS)
    for length in itertools.count(1):
        for letters in itertools.product(string.ascii_letters, repeat=length):
            if (name := "".join(letters)) not in ROM_WORDS:
                yield name
