"""Small faults of modules, at most one for each place in their code, by the operators of cosmic-ray and one more."""

import ast
import difflib
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import parso
from cosmic_ray.ast import ast_nodes
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names

OPERATOR_NAMES = re.compile(
    "core/(ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_Div|Div_Mul|FloorDiv_Div|Mod_Div|Pow_Mul|BitOr_BitAnd|BitAnd_BitOr)"
    "|ReplaceComparisonOperator_(Eq_NotEq|NotEq_Eq|Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt|Lt_Gt|Gt_Lt|Is_IsNot|IsNot_Is)"
    "|ReplaceUnaryOperator_Delete_.*|AddNot|Replace(True|False|And|Or|Break|Continue)With.*|NumberReplacer"
    "|ExceptionReplacer|ZeroIterationForLoop)"
)
OPPOSITE_PAIRS = (
    "min max", "min_horizontal max_horizontal", "first last", "any all", "left inner", "semi anti", "forward backward",
    "mean sum", "any_horizontal all_horizontal", "floor ceil",
)  # fmt: skip
OPPOSITE_OF = {word: other for a, b in map(str.split, OPPOSITE_PAIRS) for word, other in ((a, b), (b, a))}
WORDS_STANDING_ALONE = {"min", "max", "any", "all", "first", "last"}


class SwapWord(Operator):  # type: ignore[misc]
    """Replace a name or a string by its opposite, such as `min` by `max`: column expressions have words for operators."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """Return the positions of nodes that have an opposite."""
        if node.type == "string" and node.value[1:-1] in OPPOSITE_OF or node.type == "name" and self._is_word(node):
            yield node.start_pos, node.end_pos

    def _is_word(self, node: Any) -> bool:
        """Return whether a name is an attribute or a builtin. A keyword argument is not: its opposite would not exist."""
        if node.parent.type == "argument" and node.parent.children[0] is node:
            return False
        return node.value in (OPPOSITE_OF if node.parent.type == "trailer" else WORDS_STANDING_ALONE)

    def mutate(self, node: Any, index: int) -> Any:
        """Return the node with its word replaced."""
        node.value = re.sub(r"\w+", lambda match: OPPOSITE_OF[match[0]], node.value)
        return node

    @classmethod
    def examples(cls) -> tuple[()]:
        """Return none, as cosmic-ray requires the method."""
        return ()


@dataclass(frozen=True)
class Mutant:
    """A module's code with one fault. `lines` are those of the faulty statement; `change` is the line before and after."""

    module: str
    lines: range
    change: str
    code: str


def mutable_places(source: str) -> list[tuple[int, list[tuple[Operator, int]]]]:
    """Return the places in a module's code that a mutant can change: the line, and the operators for it.

    Decorators are left out.
    """
    nodes = list(ast_nodes(parso.parse(source)))
    operators = [SwapWord(), *(get_operator(name)() for name in operator_names() if OPERATOR_NAMES.fullmatch(name))]
    choices: dict[tuple[int, int], list[tuple[Operator, int]]] = defaultdict(list)
    for operator in operators:
        starts = (start for node in nodes for start, _ in operator.mutation_positions(node))
        for occurrence, start in enumerate(starts):
            choices[start].append((operator, occurrence))
    code = source.splitlines()
    return [
        (line, edits) for (line, _), edits in sorted(choices.items()) if not code[line - 1].lstrip().startswith("@")
    ]


def sample_mutants(sources: Mapping[str, str], count: int, seed: int) -> list[Mutant]:
    """Return `count` random mutants of different places, from the code of modules by name; fewer if there are no more."""
    chance, mutant_sample = random.Random(seed), list[Mutant]()
    every = [(module, *place) for module, source in sources.items() for place in mutable_places(source)]
    for module, line, choices in chance.sample(every, len(every)):
        code = mutate_code(source := sources[module], *chance.choice(choices))
        if _tree_text(code) not in (None, _tree_text(source)):
            pair = [one[2:].strip() for one in difflib.ndiff(source.splitlines(), code.splitlines()) if one[0] in "-+"]
            mutant_sample.append(Mutant(module, _statement(source, line), " -> ".join(pair), code))
        if len(mutant_sample) == count:
            break
    return mutant_sample


def _tree_text(source: str) -> str | None:
    """Return the syntax tree without annotations as text; null where the code does not compile."""
    try:
        compile(source, "", "exec")
    except SyntaxError:
        return None
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for name in {"annotation", "returns"} & set(node._fields):
            setattr(node, name, None)
    return ast.dump(tree)


def _statement(source: str, line: int) -> range:
    """Return the lines of the innermost statement that has this line."""
    around = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.stmt))
    spans = (range(node.lineno, (node.end_lineno or node.lineno) + 1) for node in around)
    return min((span for span in spans if line in span), key=len, default=range(line, line + 1))
