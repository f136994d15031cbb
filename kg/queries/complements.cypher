// Categories most like X that are far from it in the taxonomy: cross-category complements, against substitutes beside
// it.
//
// Parameters:
//   category (text, required): id or name of a category
//   far (boolean, default true): only those in another department; false gives those of the same
//   limit (integer, default 15): rows at most
//   window_end (integer, default latest window): cut-off before which purchases were counted
//
// Reading: alike is the cosine of the two categories' partners, weighed by log lift (1: the same partners with the
// same strength). Like X in another department: a complement for the same occasion. Like X in the same department,
// with a lift near 1 or none: rather a substitute. lift is empty where the pair is not among the strongest.
MATCH (x:$$Category)-[r:BOUGHT_WITH]->(n:$$Category)
WHERE $category IN [x.node_id, x.name] AND r.window_end = $window_end AND r.lift > 1
WITH x, sum(log(r.lift) ^ 2) AS own
MATCH (x)-[r:BOUGHT_WITH]->(n:$$Category)<-[s:BOUGHT_WITH]-(y:$$Category)
WHERE r.window_end = $window_end AND s.window_end = $window_end AND r.lift > 1 AND s.lift > 1 AND y <> x
WITH x, own, y, sum(log(r.lift) * log(s.lift)) AS dot, count(n) AS shared
MATCH (y)-[s:BOUGHT_WITH]->(:$$Category) WHERE s.window_end = $window_end AND s.lift > 1
WITH x, own, y, dot, shared, sum(log(s.lift) ^ 2) AS theirs
WITH x, y, dot / sqrt(own * theirs) AS alike, shared,
     NOT EXISTS { MATCH (x)-[:$$TAXONOMY]->(:$$Above)<-[:$$TAXONOMY]-(y) } AS far
WHERE far = $far
OPTIONAL MATCH (x)-[b:BOUGHT_WITH]-(y) WHERE b.window_end = $window_end
WITH y, alike, shared, max(b.lift) AS lift, max(b.support) AS support
MATCH (y)-[:$$TAXONOMY]->(d:$$Above)
WITH y, alike, shared, lift, support, d.name AS department ORDER BY department
RETURN y.name AS category, collect(DISTINCT department) AS in, alike, shared, lift, support
ORDER BY alike DESC, category LIMIT $limit
