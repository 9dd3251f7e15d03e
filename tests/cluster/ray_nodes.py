"""Two Ray nodes on this machine, all of whose addresses are 127.0.0.1, until standard input ends.

Prints the address of the first, and for each line that it reads, starts ("add") or kills ("kill")
a second one, and answers with the number of nodes. What it starts ends with it, also if it is
killed: Ray's own watchdog sees to that.
"""

from __future__ import annotations

import sys

from ray.cluster_utils import Cluster

OPTIONS = {
    "node_ip_address": "127.0.0.1",
    "num_cpus": 1,
    "object_store_memory": 200 << 20,
    "include_log_monitor": False,
    "dashboard_agent_listen_port": 0,
}


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args=OPTIONS | {"include_dashboard": False})
    try:
        print(cluster.address, flush=True)
        for line in sys.stdin:
            if line.strip() == "add":
                cluster.add_node(**OPTIONS)
            else:
                cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
            print(len(cluster.list_all_nodes()), flush=True)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
