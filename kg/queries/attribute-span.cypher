// Manufacturers, brands or other attributes of products that span departments.
//
// Parameters:
//   attribute (text, default none): label of the attribute, such as Manufacturer or Brand; none: all
//   min_products (integer, default 20): fewest products
//   limit (integer, default 25): rows at most
//
// Reading: departments is in how many nodes of the level above the categories its products stand; categories
// likewise.
MATCH (m:$$Attribute)<-[:$$ATTRIBUTE]-(p:$$Product)
WHERE $attribute IS NULL OR $attribute IN labels(m)
WITH m, count(p) AS products WHERE products >= $min_products
MATCH (m)<-[:$$ATTRIBUTE]-(p:$$Product)-[:$$TAXONOMY]->(t)
WITH m, products, collect(DISTINCT t) AS nodes
UNWIND nodes AS t
MATCH (t)-[:$$TAXONOMY*0..]->(c:$$Category)-[:$$TAXONOMY]->(d:$$Above)
WITH m, products, count(DISTINCT c) AS categories, count(DISTINCT d) AS departments
RETURN head(labels(m)) AS attribute, m.name AS name, departments, categories, products
ORDER BY departments DESC, categories DESC, name LIMIT $limit
