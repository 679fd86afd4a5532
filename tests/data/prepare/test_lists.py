from keras_asit.data.prepare.lists import numbered_lines


def test_lines_are_numbered_as_an_editor_does(tmp_path, problems_of):
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xef\xbb\xbfa b.wav\r\n\r\n  c.wav \n")
    assert numbered_lines(path) == [(1, "a b.wav"), (3, "c.wav")]
    path.write_bytes(b"\xff\xfe")
    assert "not a readable text file" in problems_of(numbered_lines, path)[0]
    path.unlink()
    assert "not a readable text file" in problems_of(numbered_lines, path)[0]
