// The strongest learnt bridges between departments (needs a write-back).
//
// Parameters:
//   min_support (integer, default 50): fewest customers behind it
//   run (text, default none): only this run's; none: all that the graph holds
//   limit (integer, default 25): rows at most
//
// Reading: customers of category are lift times likelier than average to be held interested in the other, in a
// department that the first does not belong to.
// Drawn: path
MATCH path = (a:$$Category)-[l:LEADS_TO]->(b:$$Category)
WHERE l.support >= $min_support AND ($run IS NULL OR l.run = $run)
  AND NOT EXISTS { MATCH (a)-[:$$TAXONOMY]->(:$$Above)<-[:$$TAXONOMY]-(b) }
MATCH (a)-[:$$TAXONOMY]->(x:$$Above)
MATCH (b)-[:$$TAXONOMY]->(y:$$Above)
RETURN a.name AS category, b.name AS leads_to, collect(DISTINCT x.name) AS from_department,
       collect(DISTINCT y.name) AS to_department, l.lift AS lift, l.probability AS probability,
       l.support AS support, path
ORDER BY lift DESC, category LIMIT $limit
