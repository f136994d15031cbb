// Data quality: nodes of one level whose names differ only in blanks, punctuation, case or a plural s: likely one
// thing under two names.
//
// Parameters:
//   label (text, default none): only this label
//   limit (integer, default 25): rows at most
//
// Reading: names are those that become equal; products counts what hangs below all of them together.
MATCH (n:$$Level) WHERE n.name IS NOT NULL AND ($label IS NULL OR $label IN labels(n))
WITH head(labels(n)) AS label, n,
     replace(replace(replace(toUpper(n.name), ' ', ''), '-', ''), '/', '') AS letters
WITH label, n, replace(replace(replace(letters, '&', ''), '.', ''), 'S', '') AS core
WITH label, core, n ORDER BY n.name, n.node_id
WITH label, core, collect(n) AS nodes, collect(DISTINCT n.name) AS names WHERE size(names) > 1
UNWIND nodes AS n
OPTIONAL MATCH (n)<-[:$$TAXONOMY*1..]-(p:$$Product)
RETURN label, names, count(DISTINCT p) AS products
ORDER BY products DESC, names LIMIT $limit
