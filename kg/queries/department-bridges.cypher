// Bridges between departments (the level above the categories): which are joined by co-purchases, and by which pair.
//
// Parameters:
//   min_support (integer, default 20): fewest customers behind a pair of categories
//   min_lift (number, default 1.2): least lift of such a pair
//   limit (integer, default 25): pairs of departments at most
//   window_end (integer, default latest window): cut-off before which purchases were counted
//
// Reading: links counts the pairs of categories that join the two departments; the strongest by lift is named.
// Categories that the two departments share are left out.
// Drawn: path
MATCH (x:$$Above)<-[:$$TAXONOMY]-(a:$$Category)-[r:BOUGHT_WITH]-(b:$$Category)-[:$$TAXONOMY]->(y:$$Above)
WHERE r.window_end = $window_end AND r.support >= $min_support AND r.lift >= $min_lift AND x.node_id < y.node_id
  AND NOT (a)-[:$$TAXONOMY]->(y) AND NOT (b)-[:$$TAXONOMY]->(x)
WITH x, y, a, b, max(r.lift) AS lift, max(r.support) AS support
ORDER BY lift DESC, support DESC, a.node_id, b.node_id
WITH x, y, count(*) AS links, collect({a: a, b: b, lift: lift, support: support})[0] AS best
ORDER BY links DESC, best.lift DESC LIMIT $limit
MATCH path = (x)<-[:$$TAXONOMY]-(a:$$Category {node_id: best.a.node_id})-[r:BOUGHT_WITH]-
             (b:$$Category {node_id: best.b.node_id})-[:$$TAXONOMY]->(y)
WHERE r.window_end = $window_end
WITH x, y, links, best, collect(path)[0] AS path
RETURN x.name AS department, y.name AS other, links, best.a.name AS category, best.b.name AS with,
       best.lift AS lift, best.support AS support, path
ORDER BY links DESC, lift DESC
