// Data quality: nodes of one label that share a name, such as a type called SEASONAL in twenty categories.
//
// Parameters:
//   label (text, default none): only this label
//   limit (integer, default 25): names at most
//
// Reading: nodes is how many carry the name. Shared names are fine where the ids tell them apart; they mislead
// whoever looks for a node by its name.
MATCH (n:$$Level) WHERE n.name IS NOT NULL AND ($label IS NULL OR $label IN labels(n))
WITH head(labels(n)) AS label, n.name AS name, n.node_id AS id ORDER BY id
WITH label, name, count(*) AS nodes, collect(id)[..5] AS ids WHERE nodes > 1
RETURN label, name, nodes, ids
ORDER BY nodes DESC, label, name LIMIT $limit
