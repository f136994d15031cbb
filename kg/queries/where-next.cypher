// Where customers who buy in X go next, as the model has learnt it (needs a write-back).
//
// Parameters:
//   category (text, required): id or name of a category
//   run (text, default none): only this run's; none: all that the graph holds
//   limit (integer, default 15): rows at most
//   window_end (integer, default latest window): cut-off of the co-purchases shown beside
//
// Reading: probability is what the model gives the other category among those that such customers have not bought
// from yet; lift is how many times more than for the average customer; support is the number of customers behind it;
// counted_lift is what the co-purchases say, empty where the pair is not among the strongest.
// Drawn: path
MATCH (a:$$Category) WHERE $category IN [a.node_id, a.name]
MATCH path = (a)-[l:LEADS_TO]->(b:$$Category) WHERE $run IS NULL OR l.run = $run
OPTIONAL MATCH (a)-[r:BOUGHT_WITH]->(b) WHERE r.window_end = $window_end
RETURN b.name AS category, l.probability AS probability, l.lift AS lift, l.support AS support, r.lift AS counted_lift,
       l.run AS run, path
ORDER BY lift DESC, category LIMIT $limit
