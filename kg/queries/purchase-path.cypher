// The likeliest way of purchases from one category to another, over at most three steps.
//
// Parameters:
//   from (text, required): id or name of a category
//   to (text, required): id or name of another
//   limit (integer, default 5): paths at most
//   window_end (integer, default latest window): cut-off before which purchases were counted
//
// Reading: chance is the product of the confidences along the path, as if each step were independent of the one
// before. A category that nobody's strongest partners contain cannot be reached; take it as the start instead.
// Drawn: path
MATCH (a:$$Category) WHERE $from IN [a.node_id, a.name]
MATCH (b:$$Category) WHERE $to IN [b.node_id, b.name] AND b <> a
MATCH path = (a)-[:BOUGHT_WITH*1..3]->(b) WHERE all(r IN relationships(path) WHERE r.window_end = $window_end)
WITH path, reduce(w = 1.0, r IN relationships(path) | w * r.confidence) AS chance
RETURN [n IN nodes(path) | n.name] AS names, chance, [r IN relationships(path) | r.lift] AS lifts, path
ORDER BY chance DESC, names LIMIT $limit
