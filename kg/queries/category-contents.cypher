// What is in a category, or in any other node of the taxonomy: the nodes right below it, with their products.
//
// Parameters:
//   category (text, required): id or name of a node of the taxonomy
//   limit (integer, default 50): rows at most
//
// Reading: one row for each part, the largest first; a product that stands right below counts one.
// Drawn: path
MATCH (c:$$Level) WHERE $category IN [c.node_id, c.name]
MATCH path = (c)<-[:$$TAXONOMY]-(part)
OPTIONAL MATCH (part)<-[:$$TAXONOMY*0..]-(p:$$Product)
WITH path, part, count(DISTINCT p) AS products
RETURN head(labels(part)) AS level, coalesce(part.node_id, part.product_id) AS id,
       coalesce(part.name, part.text) AS name, products, path
ORDER BY products DESC, id LIMIT $limit
