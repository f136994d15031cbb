// The neighbourhood of a product: where it stands in the taxonomy, what it has, what is tied to it.
//
// Parameters:
//   product (text, required): id of a product
//   limit (integer, default 50): rows at most
//
// Reading: one row for each node that the product leads to; steps is how far it is, up the taxonomy or directly.
// Drawn: path
MATCH path = (p:$$Product {product_id: $product})-[:$$TAXONOMY*1..]->(n)
RETURN length(path) AS steps, type(last(relationships(path))) AS by, head(labels(n)) AS label, n.name AS name, path
ORDER BY steps, label, name LIMIT $limit
UNION
MATCH path = (p:$$Product {product_id: $product})-[r]-(n)
RETURN length(path) AS steps, type(r) AS by, head(labels(n)) AS label, n.name AS name, path
ORDER BY steps, label, name LIMIT $limit
