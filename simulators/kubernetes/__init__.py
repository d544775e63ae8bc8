"""A simulated Kubernetes cluster: its API at the wire, its controllers, its nodes.

`server.KubernetesSimulator` is its face; `images` says how images behave, `planted` what goes
wrong between a client and the API. Everything is in memory, and only 127.0.0.1 reaches it.

What it does as a cluster does, down to reasons and sentences:

* discovery, create, read, update, patch (JSON, merge, strategic merge), delete, lists with
  selectors and pages, watches with resumption, bookmarks and `410 Gone`, `dryRun=All`, `Status`
  objects for what is refused, `scale` and `status`, logs of pods;
* server-side apply with `managedFields`, conflicts, `force`, and removal of what is no longer applied;
* Deployments, ReplicaSets, StatefulSets, DaemonSets and ControllerRevisions with their status,
  conditions, revisions, rolling updates and deadlines; events; owner references and the three
  policies of deletion; finalizers; namespaces that empty themselves;
* pods that start, fail to be pulled, crash, stay unready, find no room, or are refused;
* what a bearer token lets in, and rights that are denied.

What it does not:

* everything runs for real in no container: a pod is what its image's `Behaviour` says, and no
  probe, volume, network, service or resource request is looked at; `Ready` comes with `Running`;
* Jobs, CronJobs, autoscalers, ingresses, quotas, disruption budgets and RBAC objects are kept and
  nothing follows from them; there are no CustomResourceDefinitions and no webhooks, no OpenAPI,
  no Table or protobuf answers, no `exec`, `attach`, `portforward`, `eviction` or `token`;
* fields that the schema does not know are kept, not refused; validation knows the fields that
  a rollback touches; defaults are those of workloads, pods, services, secrets and namespaces;
* a DaemonSet's `maxSurge` is taken for 0, node selectors and taints for none, back-off times for
  constant; a watch without a version and `sendInitialEvents` are the older kind of watch;
* the special ways of `kubectl apply` between client side and server side are the client's own.
"""
