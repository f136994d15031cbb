// Data quality: nodes of the taxonomy that stand below several nodes of one level.
//
// Parameters:
//   limit (integer, default 50): rows at most
//
// Reading: a category in two departments is counted in both; where that is not meant, the source has it twice.
// Drawn: path
MATCH path = (n:$$Level)-[:$$TAXONOMY]->(up:$$Level)
WITH n, up, path ORDER BY up.name
WITH n, head(labels(up)) AS level, collect(DISTINCT up.name) AS parents, collect(path) AS path
WHERE size(parents) > 1
RETURN head(labels(n)) AS label, n.name AS name, level, parents, path
ORDER BY size(parents) DESC, label, name LIMIT $limit
