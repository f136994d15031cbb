// Data quality: nodes of the taxonomy without a product below them.
//
// Parameters:
//   limit (integer, default 50): rows at most
//
// Reading: no row is what you want. An empty category cannot be recommended.
MATCH (n:$$Level) WHERE NOT EXISTS { MATCH (n)<-[:$$TAXONOMY*1..]-(:$$Product) }
RETURN head(labels(n)) AS label, n.node_id AS id, n.name AS name
ORDER BY label, id LIMIT $limit
