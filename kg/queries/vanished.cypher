// What has left the catalogue: nodes that an update has marked with an end date instead of removing them.
//
// Parameters:
//   limit (integer, default 50): rows at most
//
// Reading: ended is the day of the update that no longer found the node. Other queries still see these nodes, though
// without co-purchases. No row: nothing has left, or updates remove what has.
MATCH (n) WHERE n.ended IS NOT NULL
RETURN head(labels(n)) AS label, coalesce(n.node_id, n.product_id) AS id, coalesce(n.name, n.text) AS name,
       toString(n.ended) AS ended
ORDER BY ended DESC, label, id LIMIT $limit
