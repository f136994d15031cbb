// Data quality: nodes without any relationship, by label.
//
// Parameters:
//   examples (integer, default 5): ids given as examples
//
// Reading: no row is what you want. A label with many orphans was loaded without its relations, or nothing uses it.
MATCH (n) WHERE NOT (n)--() AND NOT n:CrossAisleGraph AND NOT n:CrossAisleRun
WITH head(labels(n)) AS label, coalesce(n.node_id, n.product_id) AS id ORDER BY label, id
RETURN label, count(*) AS nodes, collect(id)[..$examples] AS examples
ORDER BY nodes DESC, label
