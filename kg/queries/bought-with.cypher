// What customers of one category also buy: its strongest partners.
//
// Parameters:
//   category (text, required): id or name of a category
//   limit (integer, default 15): partners at most
//   window_end (integer, default latest window): cut-off before which purchases were counted
//
// Reading: confidence is the share of the category's customers who also bought from the other; lift compares that
// share with all customers' (1: no more than chance); support is the number of customers.
// Drawn: path
MATCH (a:$$Category) WHERE $category IN [a.node_id, a.name]
MATCH path = (a)-[r:BOUGHT_WITH]->(b:$$Category) WHERE r.window_end = $window_end
RETURN b.name AS category, r.lift AS lift, r.confidence AS confidence, r.support AS support, path
ORDER BY lift DESC, support DESC, category LIMIT $limit
