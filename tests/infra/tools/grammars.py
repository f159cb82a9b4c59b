"""Parses Bicep files with the grammars of pycep and of tree-sitter; says what neither knows."""

import pathlib
import sys

import tree_sitter_bicep
from pycep import BicepParser
from tree_sitter import Language, Parser

tree_sitter = Parser(Language(tree_sitter_bicep.language()))


def faults(node):
    if node.is_error or node.is_missing:
        yield node
    for child in node.children:
        yield from faults(child)


failed = False
for name in sys.argv[1:]:
    path = pathlib.Path(name)
    for node in faults(tree_sitter.parse(path.read_bytes()).root_node):
        failed = True
        print(f"{name}:{node.start_point.row + 1}: tree-sitter: {node.text[:60]!r}")
    try:
        BicepParser().parse(text=path.read_text())
    except Exception as error:  # noqa: BLE001: a parser may fail with anything
        failed = True
        print(f"{name}: pycep: {error}")
sys.exit(failed)
