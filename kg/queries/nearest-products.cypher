// Nearest products of other departments by learnt vector (needs a write-back).
//
// Parameters:
//   product (text, required): id of a product
//   among (integer, default 2000): how many of the nearest products of the whole shop are looked at
//   limit (integer, default 15): rows at most
//
// Reading: cosine is the similarity of the two products' fused vectors, from -1 to 1. Products that share a
// department with the given one are left out; raise among when too few rows remain.
MATCH (p:$$Product {product_id: $product})-[:$$TAXONOMY*1..]->(own:$$Above)
WITH p, collect(DISTINCT own.node_id) AS departments
MATCH (q:$$Product) WHERE q.embedding_run = p.embedding_run AND q.embedding IS NOT NULL AND q.product_id <> $product
WITH p, departments, q, vector.similarity.cosine(p.embedding, q.embedding) AS near
ORDER BY near DESC LIMIT $among
MATCH (q)-[:$$TAXONOMY*1..]->(c:$$Category)-[:$$TAXONOMY]->(d:$$Above)
WITH p, q, departments, collect(DISTINCT c.name) AS categories, collect(DISTINCT d.node_id) AS theirs
WHERE none(id IN theirs WHERE id IN departments)
WITH q, categories, theirs, p.embedding AS v, q.embedding AS w
WITH q, categories, theirs, reduce(s = 0.0, i IN range(0, size(v) - 1) | s + v[i] * w[i]) AS dot,
     sqrt(reduce(s = 0.0, x IN v | s + x * x)) * sqrt(reduce(s = 0.0, x IN w | s + x * x)) AS lengths
RETURN q.product_id AS product, q.text AS text, categories, theirs AS departments,
       CASE WHEN lengths > 0 THEN dot / lengths ELSE 0.0 END AS cosine
ORDER BY cosine DESC, product LIMIT $limit
