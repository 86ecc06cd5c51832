"""Which leftover nodes are lowered together, so that the importer can fuse them."""

from torch.fx import Graph, Node


def group_leftovers(graph: Graph, leftovers: set[Node]) -> dict[Node, list[Node]]:
    """Map every leftover node to its group: connected leftovers in graph order.

    A group is emitted where its last node stands, so a node joins the group of one of its
    inputs only if nothing outside the group reads a value of it before that point.
    """
    position = {node: i for i, node in enumerate(graph.nodes)}
    groups: dict[Node, list[Node]] = {}
    for node in graph.nodes:
        if node not in leftovers:
            continue
        for source in node.all_input_nodes:
            group = groups.get(source)
            if group is not None and not _read_before(group, position, position[node]):
                groups[node] = group
                group.append(node)
                break
        else:
            groups[node] = [node]
    return groups


def _read_before(group: list[Node], position: dict[Node, int], end: int) -> bool:
    members = set(group)
    return any(position[user] < end for node in group for user in node.users if user not in members)
