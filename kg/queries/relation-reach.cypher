// What a coupon, a campaign or another thing of the relations table touches: the categories of the products it leads
// to.
//
// Parameters:
//   id (text, required): its id
//   label (text, default none): its label, such as Coupon, where several have this id
//   limit (integer, default 25): categories at most
//
// Reading: products is how many products of the category it reaches, directly or through a neighbour of its kind (a
// campaign through its coupons); through is how many neighbours (or itself) lead there; share is of all that the
// category holds.
MATCH (n:$$Related) WHERE n.node_id = $id AND ($label IS NULL OR $label IN labels(n))
MATCH (n)-[:$$RELATION*0..1]-(source:$$Related)
MATCH (source)-[:$$RELATION]-(p:$$Product)-[:$$TAXONOMY*1..]->(c:$$Category)
WITH n, c, count(DISTINCT p) AS products, count(DISTINCT source) AS through
ORDER BY products DESC, c.node_id LIMIT $limit
MATCH (c)<-[:$$TAXONOMY*1..]-(q:$$Product)
WITH n, c, products, through, count(DISTINCT q) AS all
RETURN head(labels(n)) AS label, n.name AS name, c.name AS category, products, through,
       1.0 * products / all AS share
ORDER BY products DESC, category
