import pytest

from tests.pipeline.running import Place


@pytest.fixture
def place(tmp_path):
    """A folder and a pipeline name of the test's own; both are clean again afterwards."""
    place = Place(tmp_path)
    try:
        yield place
        place.check_clean()
    finally:
        place.close()
