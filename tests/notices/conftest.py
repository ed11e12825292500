import blockbuster
import pytest


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop():
    with blockbuster.blockbuster_ctx("tiphys") as watching:
        # The SDK looks for ~/.aws/credentials itself where no keys are named, once for each client.
        for function in ("os.stat", "io.BufferedReader.read", "io.TextIOWrapper.read"):
            watching.functions[function].can_block_in("botocore/configloader.py", "raw_config_parse")
        yield
