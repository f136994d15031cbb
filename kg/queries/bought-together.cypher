// Categories bought together beyond chance: the strongest pairs of the shop.
//
// Parameters:
//   min_support (integer, default 50): fewest customers who bought from both
//   min_lift (number, default 1.0): least lift
//   limit (integer, default 25): pairs at most
//   window_end (integer, default latest window): cut-off before which purchases were counted
//
// Reading: lift is how many times more customers bought from both than if they chose independently; support is how
// many did. A high lift with little support is an anecdote: raise min_support.
// Drawn: path
MATCH path = (a:$$Category)-[r:BOUGHT_WITH]->(b:$$Category)
WHERE r.window_end = $window_end AND r.support >= $min_support AND r.lift >= $min_lift
WITH CASE WHEN a.node_id < b.node_id THEN a ELSE b END AS one,
     CASE WHEN a.node_id < b.node_id THEN b ELSE a END AS other,
     collect(path)[0] AS path, max(r.lift) AS lift, max(r.support) AS support
RETURN one.name AS category, other.name AS with, lift, support, path
ORDER BY lift DESC, support DESC, category LIMIT $limit
