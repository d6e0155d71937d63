"""Exits 0 while `else` is gone through after the branch before it has set the field that was the condition."""

import sys

import warp as wp


@wp.struct
class Node:
    flag: bool


@wp.kernel
def flip(nodes: wp.array[Node], out: wp.array[int]):
    i = wp.tid()
    node = nodes[i]
    if node.flag:
        node.flag = False
        out[i] = 1
    else:
        out[i] = 2


node = Node()
node.flag = True
out = wp.zeros(1, dtype=int, device="cpu")
wp.launch(flip, dim=1, inputs=[wp.array([node], dtype=Node, device="cpu"), out], device="cpu")
found = out.numpy()[0]
print("value:", found, "expected: 1")
sys.exit(0 if found != 1 else 1)
