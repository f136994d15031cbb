// Data quality: products that stand below no category, so that no recommendation can lead to them.
//
// Parameters:
//   limit (integer, default 50): rows at most
//
// Reading: no row is what you want. Each row is a product, with what its text says.
MATCH (p:$$Product) WHERE NOT EXISTS { MATCH (p)-[:$$TAXONOMY*1..]->(:$$Category) }
RETURN p.product_id AS product, p.text AS text
ORDER BY product LIMIT $limit
