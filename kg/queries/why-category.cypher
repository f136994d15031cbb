// Why this category for a customer with this history: the paths that lead from what was bought to it, with weights.
//
// Parameters:
//   category (text, required): id or name of the category that is suggested
//   history (texts, required): ids or names of categories bought before; a JSON list, or the parameter repeated
//   limit (integer, default 10): paths at most
//   window_end (integer, default latest window): cut-off before which purchases were counted
//
// Reading: weight is the product of confidence * log(1 + lift) along the path, which is how the model weighs these
// relationships; chance is the product of the confidences alone. A path of one step is a direct association.
// Drawn: path
MATCH (y:$$Category) WHERE $category IN [y.node_id, y.name]
MATCH (h:$$Category) WHERE (h.node_id IN $history OR h.name IN $history) AND h <> y
MATCH path = (h)-[:BOUGHT_WITH*1..2]->(y)
WHERE all(r IN relationships(path) WHERE r.window_end = $window_end)
WITH path, reduce(w = 1.0, r IN relationships(path) | w * r.confidence * log(1 + r.lift)) AS weight,
     reduce(w = 1.0, r IN relationships(path) | w * r.confidence) AS chance
RETURN [n IN nodes(path) | n.name] AS names, weight, chance, [r IN relationships(path) | r.lift] AS lifts, path
ORDER BY weight DESC, names LIMIT $limit
