"""Every path that is served: Argo Server's (semantics part 4), and a few of our own."""

from aiohttp import web

from tiphys.server import archive, daemon, definitions, eventlog, explaining, logs, steering, watching, workflows

BASE = "/api/v1"


def table() -> list[web.RouteDef]:
    """The routes."""
    one = f"{BASE}/workflows/{{namespace}}/{{name}}"
    crons = f"{BASE}/cron-workflows"
    return [
        web.get("/healthz", daemon.healthz),
        web.get(f"{BASE}/version", daemon.version),
        web.get(f"{BASE}/info", daemon.info),
        web.get(f"{BASE}/userinfo", daemon.userinfo),
        web.get(f"{BASE}/workflows", workflows.listed),
        web.get(f"{BASE}/workflows/", workflows.listed),
        web.get(f"{BASE}/workflows/{{namespace}}", workflows.listed),
        web.post(f"{BASE}/workflows/{{namespace}}", workflows.created),
        web.post(f"{BASE}/workflows/{{namespace}}/lint", workflows.linted),
        web.post(f"{BASE}/workflows/{{namespace}}/submit", workflows.submitted),
        web.get(one, workflows.got),
        web.delete(one, workflows.deleted),
        web.get(f"{one}/log", logs.logged),
        web.get(f"{one}/explain", explaining.explained),
        web.get(f"{one}/event-log", eventlog.logged),
        web.get(f"{BASE}/top", explaining.top),
        web.get(f"{one}/{{pod}}/log", logs.logged),
        web.get(f"{BASE}/workflow-events", watching.watched),
        web.get(f"{BASE}/workflow-events/", watching.watched),
        web.get(f"{BASE}/workflow-events/{{namespace}}", watching.watched),
        web.put(f"{one}/suspend", steering.suspend),
        web.put(f"{one}/resume", steering.resume),
        web.put(f"{one}/stop", steering.stop),
        web.put(f"{one}/terminate", steering.terminate),
        web.put(f"{one}/retry", steering.retry),
        web.put(f"{one}/resubmit", workflows.resubmitted),
        web.put(f"{one}/set", steering.set_),
        web.get(f"{BASE}/archived-workflows", archive.listed),
        web.get(f"{BASE}/archived-workflows/{{uid}}", archive.got),
        web.delete(f"{BASE}/archived-workflows/{{uid}}", archive.deleted),
        web.get(f"{BASE}/archived-workflows-label-keys", archive.label_keys),
        web.get(f"{BASE}/archived-workflows-label-values", archive.label_values),
        web.get(f"{BASE}/workflow-templates", definitions.templates),
        web.get(f"{BASE}/workflow-templates/", definitions.templates),
        web.get(f"{BASE}/workflow-templates/{{namespace}}", definitions.templates),
        web.get(f"{BASE}/workflow-templates/{{namespace}}/{{name}}", definitions.template),
        web.get(f"{BASE}/cluster-workflow-templates", definitions.cluster_templates),
        web.get(f"{BASE}/cluster-workflow-templates/{{name}}", definitions.cluster_template),
        web.get(crons, definitions.crons),
        web.get(f"{crons}/", definitions.crons),
        web.get(f"{crons}/{{namespace}}", definitions.crons),
        web.get(f"{crons}/{{namespace}}/{{name}}", definitions.cron),
        web.post(f"{crons}/{{namespace}}/{{name}}/run", definitions.cron_run),
    ]
