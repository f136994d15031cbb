// Where the learnt interest and the co-purchase counts disagree most (needs a write-back).
//
// Parameters:
//   min_support (integer, default 50): fewest customers behind both
//   run (text, default none): only this run's; none: all that the graph holds
//   limit (integer, default 25): rows at most
//   window_end (integer, default latest window): cut-off of the co-purchases
//
// Reading: ratio is learnt lift over counted lift. Above 1, the model sees more than what was bought together so far;
// below 1, what was bought together leads to less new interest: often because whoever would buy already does.
// Drawn: path
MATCH path = (a:$$Category)-[l:LEADS_TO]->(b:$$Category)
WHERE l.support >= $min_support AND ($run IS NULL OR l.run = $run)
MATCH (a)-[r:BOUGHT_WITH]->(b) WHERE r.window_end = $window_end AND r.support >= $min_support
WITH a, b, l, r, path, l.lift / r.lift AS ratio
RETURN a.name AS category, b.name AS leads_to, l.lift AS learnt_lift, r.lift AS counted_lift, ratio,
       l.probability AS probability, r.confidence AS confidence, r.support AS support, path
ORDER BY abs(log(ratio)) DESC, category LIMIT $limit
