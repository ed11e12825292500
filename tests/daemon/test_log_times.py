"""The times of lines through a real daemon: true while a step runs, after its end, and over the death of the daemon between."""

import json
import threading
import urllib.parse
from datetime import UTC, datetime

from tests.daemon.running import until
from tests.daemon.test_kept import Unix, asked

TELLS = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: tells}
spec:
  entrypoint: main
  templates:
    - name: main
      steps:
        - - {name: short, template: short}
          - {name: long, template: long}
    - name: short
      container: {image: busybox, command: [sh, -c, "date +'short %%s.%%N'"]}
    - name: long
      container:
        image: busybox
        command:
          - sh
          - -c
          - |
            date +'first %%s.%%N'; sleep 0.6; date +'second %%s.%%N'
            while [ ! -e %(shared)s/go ]; do sleep 0.05; done
            sleep 0.2; date +'third %%s.%%N'
"""
PATH = "/api/v1/workflows/default/tells/log"


def lines(tiphysd, **options):
    """What is told with these logOptions: time and line."""
    query = urllib.parse.urlencode({name if name == "podName" else f"logOptions.{name}": value for name, value in options.items()})
    status, text = asked(tiphysd, "GET", f"{PATH}?{query}")
    assert status == 200, text
    return [json.loads(line)["result"]["content"].split(" ", 1) for line in text.splitlines()]


def judge(found):
    """Hold times against those that the lines themselves tell."""
    for at, line in found:
        said = datetime.fromtimestamp(float(line.split()[1]), UTC)
        late = (datetime.fromisoformat(at) - said).total_seconds()
        assert -0.4 < late < 1.0, (at, line)


def test_lines_have_their_times_also_over_the_death_of_the_daemon(tiphysd):
    tiphysd.start().drop("tells.yaml", TELLS % {"shared": tiphysd.shared})
    live = until(lambda: found if tiphysd.run("tells") and len(found := lines(tiphysd, timestamps="true")) == 3 else None, "three lines")
    judge(live)
    assert sorted(line.split()[0] for _, line in live) == ["first", "second", "short"]
    followed = []

    def follow():
        connection = Unix(tiphysd.socket)
        connection.request("GET", f"{PATH}?logOptions.follow=true&logOptions.timestamps=true")
        followed.extend(json.loads(line)["result"]["content"].split(" ", 1) for line in connection.getresponse())
        connection.close()

    tiphysd.end(9)
    tiphysd.start()
    assert sorted(lines(tiphysd, timestamps="true")) == sorted(live), "the launcher's marks outlive the daemon"
    follower = threading.Thread(target=follow)
    follower.start()
    until(lambda: len(followed) == 3, "what was printed until now")
    (tiphysd.shared / "go").touch()
    tiphysd.ended("tells")
    follower.join(20)
    ended = lines(tiphysd, timestamps="true")
    judge(ended)
    assert sorted(ended) == sorted(followed)
    assert [one for one in ended if "third" not in one[1]] == live
    [third] = [at for at, line in ended if line.startswith("third")]
    for follow_ in ("true", "false"):
        later = lines(tiphysd, sinceTime=third, timestamps="true", follow=follow_)
        assert [line.split()[0] for _, line in later] == ["third"]
    assert lines(tiphysd, sinceTime="2999-01-01T00:00:00Z") == []
    assert len(lines(tiphysd, sinceSeconds="3600")) == 4
    assert lines(tiphysd, sinceSeconds="3600", tailLines="1", podName="long", timestamps="true")[0][0] == third


def test_where_nobody_knows_a_lines_time_it_is_when_its_step_began(tiphysd):
    tiphysd.start().drop("gone.yaml", TELLS % {"shared": tiphysd.shared})
    (tiphysd.shared / "go").touch()
    run = tiphysd.ended("tells")
    for pack in (tiphysd.state / "attempts" / run.uid).glob("journal"):
        pack.write_bytes(pack.read_bytes().replace(b'"marks"', b'"other"'))  # as an earlier launcher left it
    tiphysd.end()
    tiphysd.start()
    began = {node.display_name: node.launched_at for node in tiphysd.nodes(run).values()}
    for at, line in lines(tiphysd, timestamps="true"):
        name = "short" if line.startswith("short") else "long"
        assert abs((datetime.fromisoformat(at) - began[name]).total_seconds()) < 1e-3
