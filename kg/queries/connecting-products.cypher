// Products that connect two categories: what they have in common (a brand, a manufacturer, a coupon) and which they
// are.
//
// Parameters:
//   from (text, required): id or name of a category
//   to (text, required): id or name of another
//   max_products (integer, default 5000): what more products than this have in common says nothing
//   limit (integer, default 25): rows at most
//
// Reading: each row is one thing that products of both categories share, with how many on either side and up to three
// of each.
MATCH (a:$$Category) WHERE $from IN [a.node_id, a.name]
MATCH (a)<-[:$$TAXONOMY*1..]-(p:$$Product)
MATCH (p)-[:$$LINK]-(hub)
WITH hub, p ORDER BY p.product_id
WITH hub, count(DISTINCT p) AS of_from, collect(DISTINCT p.product_id)[..3] AS some_from
WITH hub, of_from, some_from, COUNT { (hub)--(:$$Product) } AS all WHERE all <= $max_products
WITH collect({hub: hub, n: of_from, some: some_from}) AS found
MATCH (b:$$Category) WHERE $to IN [b.node_id, b.name]
MATCH (b)<-[:$$TAXONOMY*1..]-(q:$$Product)
MATCH (q)-[:$$LINK]-(hub)
WITH found, hub, q ORDER BY q.product_id
WITH found, hub, count(DISTINCT q) AS of_to, collect(DISTINCT q.product_id)[..3] AS some_to
UNWIND found AS one
WITH one, hub, of_to, some_to WHERE one.hub = hub
RETURN head(labels(hub)) AS by, hub.name AS name, one.n AS products_from, of_to AS products_to,
       one.some AS some_from, some_to
ORDER BY CASE WHEN products_from < products_to THEN products_from ELSE products_to END DESC, by, name LIMIT $limit
