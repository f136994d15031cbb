// Which windows of purchases the graph holds, and how many co-purchases were counted in each.
//
// Reading: a query with the parameter window_end looks at one of these; the largest is its default.
MATCH (a:$$Category)-[r:BOUGHT_WITH]->(:$$Category)
RETURN r.window_start AS window_start, r.window_end AS window_end, count(r) AS pairs, count(DISTINCT a) AS categories,
       max(r.support) AS largest_support
ORDER BY window_end
