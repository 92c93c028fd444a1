"""A survey of a Jinja chat template, from its syntax tree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jinja2 import nodes

from ollama_jupyter.prompt.jinja.syntax import parse
from ollama_jupyter.prompt.survey import Condition, Survey

# Objects of Python and of web frameworks through which templates break out of jinja2 and its likes.
_GADGETS = frozenset(
    {
        "mro", "func_globals", "func_code", "gi_frame", "gi_code", "cr_frame", "cr_code", "ag_frame", "tb_frame",
        "f_globals", "f_builtins", "f_locals", "lipsum", "cycler", "joiner", "get_flashed_messages", "url_for",
        "config", "request", "self", "popen", "subprocess", "builtins", "globals",
    }
)  # fmt: skip
_NAMES_ONLY = frozenset({"config", "request", "self", "lipsum", "cycler", "joiner", "globals", "builtins"})
_CONTENT = frozenset({"content", "text"})
_TEXT_METHODS = frozenset({"startswith", "endswith", "find", "rfind", "index", "count"})
_FOREIGN = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)


def survey(source: str) -> Survey:
    """The facts of a template.

    Raises:
        TemplateError: if it does not parse.
    """
    tree = parse(source)
    found = Survey()
    found.reaches = sorted(set(_reaches(tree)))
    found.foreign = sorted({type(node).__name__.lower() for node in tree.find_all(_FOREIGN)})
    found.conditions = list(_conditions(tree))
    found.fixed = list(_written(tree))
    found.hidden = [node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str)]
    found.longest_loop = max(_loops(tree), default=0)
    found.largest_number = max(_numbers(tree), default=0)
    found.depth = _depth(tree)
    found.recursive = any(loop.recursive for loop in tree.find_all(nodes.For)) or any(
        _calls_itself(macro) for macro in tree.find_all(nodes.Macro)
    )
    return found


def _reaches(tree: nodes.Template) -> Iterator[str]:
    for attribute in tree.find_all(nodes.Getattr):
        yield from _suspicious(attribute.attr, _GADGETS - _NAMES_ONLY)
    for name in tree.find_all(nodes.Name):
        yield from _suspicious(name.name, _NAMES_ONLY)
    for const in tree.find_all(nodes.Const):
        if isinstance(const.value, str) and const.value.isidentifier():
            yield from _suspicious(const.value, frozenset())
    for node in tree.find_all(nodes.Filter):
        if node.name == "attr":
            yield "the filter attr"


def _suspicious(name: str, gadgets: frozenset[str]) -> Iterator[str]:
    if name in gadgets or (name.startswith("__") and name.strip("_")):
        yield name


# ---- conditions ---------------------------------------------------------------------------------------------------


def _conditions(tree: nodes.Template) -> Iterator[Condition]:
    names = _content_names(tree)
    for choice in tree.find_all(nodes.CondExpr):
        yield from _tested(choice.test, names, "".join(_strings(choice.expr1)))
    for branch in tree.find_all(nodes.If):
        yield from _tested(branch.test, names, "".join(text for node in branch.body for text in _written(node)))


def _tested(test: nodes.Node, names: set[str], writes: str) -> Iterator[Condition]:
    """What a test looks at, of what it may not. `writes` are the fixed texts of what is done where it holds."""
    parts = [test, *test.find_all(nodes.Expr)]
    for part in parts:
        if literals := tuple(_compared(part, names)):
            yield Condition("content", literals, writes)
    if any(isinstance(part, nodes.Call) and _is_date(part) for part in parts):
        yield Condition("date", (), writes)


def _compared(part: nodes.Node, names: set[str]) -> Iterator[str]:
    """The fixed texts with which `part` compares what a message says."""
    if isinstance(part, nodes.Compare):
        sides = [part.expr, *(operand.expr for operand in part.ops)]
        if any(_reads_content(side, names) for side in sides):
            for side in sides:
                yield from _strings(side, whole=True)
    elif (
        isinstance(part, nodes.Call)
        and isinstance(part.node, nodes.Getattr)
        and part.node.attr in _TEXT_METHODS
        and _reads_content(part.node.node, names)
    ):
        for argument in part.args:
            yield from _strings(argument)


def _strings(node: nodes.Node, whole: bool = False) -> Iterator[str]:
    """The fixed texts in an expression. With `whole` only if it is nothing but fixed: a key is no comparison."""
    if whole and not isinstance(node, (nodes.Const, nodes.List, nodes.Tuple, nodes.Concat, nodes.Add)):
        return
    if isinstance(node, nodes.Const) and isinstance(node.value, str):
        yield node.value
    for const in node.find_all(nodes.Const):
        if isinstance(const.value, str):
            yield const.value


def _content_names(tree: nodes.Template) -> set[str]:
    """Variables that were set from what a message says."""
    names: set[str] = set()
    assignments = [
        (node.target, node.node) for node in tree.find_all(nodes.Assign) if isinstance(node.target, nodes.Name)
    ]
    for _ in range(3):  # a value is seldom passed on more often
        names |= {target.name for target, value in assignments if _reads_content(value, names)}
    return names


def _reads_content(node: nodes.Node, names: set[str]) -> bool:
    return any(_is_content(part, names) for part in [node, *node.find_all(nodes.Expr)])


def _is_content(node: nodes.Node, names: set[str]) -> bool:
    if isinstance(node, nodes.Getattr):
        return node.attr in _CONTENT
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        return node.arg.value in _CONTENT
    return isinstance(node, nodes.Name) and node.name in names


def _is_date(call: nodes.Call) -> bool:
    return isinstance(call.node, nodes.Name) and call.node.name == "strftime_now"


# ---- what it writes, and how much ---------------------------------------------------------------------------------


def _written(tree: nodes.Node) -> Iterator[str]:
    """The fixed texts that are put out, in order."""
    outputs: Iterable[nodes.Output] = [tree] if isinstance(tree, nodes.Output) else tree.find_all(nodes.Output)
    for output in outputs:
        for node in output.nodes:
            if isinstance(node, nodes.TemplateData):
                yield node.data
            elif isinstance(node, (nodes.Const, nodes.Concat, nodes.Add)):
                yield from _strings(node)


def _loops(tree: nodes.Template) -> Iterator[int]:
    for call in tree.find_all(nodes.Call):
        if isinstance(call.node, nodes.Name) and call.node.name == "range":
            yield from _numbers(call)


def _numbers(tree: nodes.Node) -> Iterator[int]:
    for const in tree.find_all(nodes.Const):
        if isinstance(const.value, int) and not isinstance(const.value, bool):
            yield abs(const.value)


def _depth(node: nodes.Node) -> int:
    below = max((_depth(child) for child in node.iter_child_nodes()), default=0)
    return below + isinstance(node, nodes.For)


def _calls_itself(macro: nodes.Macro) -> bool:
    called = (call.node for call in macro.find_all(nodes.Call))
    return any(isinstance(node, nodes.Name) and node.name == macro.name for node in called)
