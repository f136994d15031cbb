// The shortest path between two nodes of the taxonomy: how the catalogue relates them.
//
// Parameters:
//   from (text, required): id or name of a node of the taxonomy
//   to (text, required): id or name of another
//
// Reading: steps is their distance: 2 is siblings. No row means that no path of at most 12 steps joins them.
// Drawn: path
MATCH (a:$$Level) WHERE $from IN [a.node_id, a.name]
MATCH (b:$$Level) WHERE $to IN [b.node_id, b.name] AND b <> a
MATCH path = shortestPath((a)-[:$$TAXONOMY*..12]-(b))
RETURN length(path) AS steps, [n IN nodes(path) | coalesce(n.name, n.product_id)] AS names,
       [n IN nodes(path) | head(labels(n))] AS levels, path
ORDER BY steps, names
