package main

// nodeRows returns the table of deployments: what each does of what a smaller one does.
func nodeRows(s *strongroom) (table []row) {
	embedded := &deployment{of: s, name: "embedded store", nodes: 1}
	one := &deployment{of: s, name: "1 node, PostgreSQL", nodes: 1, database: true}
	three := &deployment{of: s, name: "3 nodes, PostgreSQL", nodes: 3, database: true}
	replicated := &deployment{of: s, name: "3 nodes, synchronous standby", nodes: 3, database: true, standby: true}
	for _, op := range operations {
		for _, l := range []shape{{connections: 1}, {connections: 64}} {
			table = append(table,
				row{one.point(op, l), embedded.point(op, l), throughput, 0},
				row{three.point(op, l), one.point(op, l), throughput, 0},
				row{replicated.point(op, l), three.point(op, l), throughput, 0})
		}
	}
	return table
}
