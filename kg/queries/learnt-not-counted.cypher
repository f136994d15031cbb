// Learnt interest that the co-purchase counts do not show (needs a write-back).
//
// Parameters:
//   min_lift (number, default 1.2): least learnt lift
//   min_support (integer, default 50): fewest customers behind it
//   run (text, default none): only this run's; none: all that the graph holds
//   limit (integer, default 25): rows at most
//   window_end (integer, default latest window): cut-off of the co-purchases
//
// Reading: the model leads customers from the one to the other, though the pair is not among the strongest co-
// purchases of either: it comes from text, from the taxonomy, or from paths of several steps.
// Drawn: path
MATCH path = (a:$$Category)-[l:LEADS_TO]->(b:$$Category)
WHERE l.lift >= $min_lift AND l.support >= $min_support AND ($run IS NULL OR l.run = $run)
  AND NOT EXISTS { MATCH (a)-[r:BOUGHT_WITH]-(b) WHERE r.window_end = $window_end }
RETURN a.name AS category, b.name AS leads_to, l.lift AS lift, l.probability AS probability, l.support AS support, path
ORDER BY lift DESC, category LIMIT $limit
