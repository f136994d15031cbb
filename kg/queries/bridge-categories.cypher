// Categories that lead out of their department: those whose strongest partners stand elsewhere in the catalogue.
//
// Parameters:
//   min_partners (integer, default 5): fewest partners that a category must have
//   min_support (integer, default 20): fewest customers behind a partner
//   limit (integer, default 25): rows at most
//   window_end (integer, default latest window): cut-off before which purchases were counted
//
// Reading: outside is the share of the category's partners that share no department with it; departments is how many
// others they reach. Near 1, the category is a door between departments.
MATCH (a:$$Category)-[r:BOUGHT_WITH]->(b:$$Category)
WHERE r.window_end = $window_end AND r.support >= $min_support
WITH a, b, r, NOT EXISTS { MATCH (a)-[:$$TAXONOMY]->(:$$Above)<-[:$$TAXONOMY]-(b) } AS far
MATCH (b)-[:$$TAXONOMY]->(d:$$Above)
WITH a, count(DISTINCT b) AS partners, count(DISTINCT CASE WHEN far THEN b.node_id END) AS away,
     count(DISTINCT CASE WHEN far THEN d.node_id END) AS departments
WHERE partners >= $min_partners
MATCH (a)-[:$$TAXONOMY]->(own:$$Above)
RETURN a.name AS category, collect(DISTINCT own.name) AS in, 1.0 * away / partners AS outside, departments, partners
ORDER BY outside DESC, departments DESC, category LIMIT $limit
