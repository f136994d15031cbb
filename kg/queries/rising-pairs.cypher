// Pairs of categories whose association grew or fell between two windows of purchases.
//
// Parameters:
//   from_window (integer, required): the earlier cut-off that the graph holds
//   to_window (integer, default latest window): the later one
//   min_support (integer, default 50): fewest customers behind the pair in both
//   limit (integer, default 25): rows at most
//
// Reading: change is the ratio of the two lifts: above 1, the pair has become closer. Windows are counted from the
// beginning of the data, so the later one contains the earlier. Only pairs among the strongest of both are seen.
// Drawn: path
MATCH (a:$$Category)-[r:BOUGHT_WITH]->(b:$$Category)
WHERE r.window_end = $from_window AND r.support >= $min_support
MATCH path = (a)-[s:BOUGHT_WITH]->(b)
WHERE s.window_end = $to_window AND s.support >= $min_support
WITH CASE WHEN a.node_id < b.node_id THEN a ELSE b END AS one,
     CASE WHEN a.node_id < b.node_id THEN b ELSE a END AS other,
     collect(path)[0] AS path, max(r.lift) AS before, max(s.lift) AS after, max(s.support) AS support
WITH one, other, before, after, after / before AS change, support, path
RETURN one.name AS category, other.name AS with, before, after, change, support, path
ORDER BY abs(log(change)) DESC, category LIMIT $limit
