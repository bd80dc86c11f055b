# SPDX-License-Identifier: Apache-2.0
"""python_arrays.py LIBRARY: arrays of NumPy and PyTorch to tensors and back, through the shared library made of
python_library.cpp. Exit code 77 if neither is installed."""
import ctypes
import importlib
import os
import sys
import tempfile

api = ctypes.PyDLL(sys.argv[1])  # deleters of old NumPy versions need the interpreter lock
api.lend.restype = ctypes.c_void_p
api.lend.argtypes = [ctypes.c_char_p, ctypes.c_int]
api.is_lent.argtypes = [ctypes.c_char_p]
api.lent_element.restype = api.taken_element.restype = ctypes.c_double
api.lent_element.argtypes = api.taken_element.argtypes = [ctypes.c_char_p, ctypes.c_int]
api.take.restype = ctypes.c_char_p
api.take.argtypes = [ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int]
api.set_taken_element.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_double]
api.drop_taken.argtypes = [ctypes.c_char_p]
api.write_npz.argtypes = [ctypes.c_char_p, ctypes.c_int]

capsule_new = ctypes.pythonapi.PyCapsule_New
capsule_new.restype = ctypes.py_object
capsule_new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
capsule_name = ctypes.pythonapi.PyCapsule_GetName
capsule_name.restype = ctypes.c_char_p
capsule_name.argtypes = [ctypes.py_object]
capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
capsule_pointer.restype = ctypes.c_void_p
capsule_pointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
capsule_rename = ctypes.pythonapi.PyCapsule_SetName
capsule_rename.argtypes = [ctypes.py_object, ctypes.c_char_p]

names = {True: b"dltensor", False: b"dltensor_versioned"}
used = {True: b"used_dltensor", False: b"used_dltensor_versioned"}


class Lent:
    """The library's tensor as NumPy's and PyTorch's from_dlpack take it."""

    def __init__(self, kind, legacy):
        self.kind, self.legacy = kind.encode(), legacy

    def __dlpack_device__(self):
        return (1, 0)

    def __dlpack__(self, **options):
        return capsule_new(api.lend(self.kind, self.legacy), names[self.legacy], None)


def take(kind, capsule):
    """None or the reason of a refusal. On success the capsule is marked as used, as the protocol demands."""
    legacy = capsule_name(capsule) == names[True]
    pointer = capsule_pointer(capsule, names[legacy])
    reason = api.take(kind.encode(), pointer, legacy)
    if reason is None:
        capsule_rename(capsule, used[legacy])
    return reason and reason.decode()


def same(found, expected, what):
    if found != expected:
        sys.exit(f"{what}: {found!r} instead of {expected!r}")


def check(module, kinds, versions, exporters):
    for kind in kinds:
        whole = "int" in kind
        expected = [[0, 1, 2], [3, 4, 5]] if whole else [[0.5, 1.5, 2.5], [3.5, 4.5, 5.5]]
        for legacy in versions:
            what = f"{module.__name__} {kind} {'legacy' if legacy else 'versioned'}"
            array = module.from_dlpack(Lent(kind, legacy))
            same(str(array.dtype).removeprefix("torch."), kind, what)
            same(array.tolist(), expected, what)
            same(api.is_lent(kind.encode()), 1, what + ": lent")
            try:
                array[1, 2] = 7  # in place: the tensor sees it
                same(api.lent_element(kind.encode(), 5), 7.0, what + ": written")
                array[1, 2] = expected[1][2]
            except ValueError:  # NumPy makes arrays of old exporters read-only
                same((module.__name__, legacy), ("numpy", True), what + ": read-only")
            del array
            same(api.is_lent(kind.encode()), 0, what + ": given back")
        dtype = getattr(module, kind)
        for legacy, export in exporters:
            what = f"{kind} of {module.__name__}, {'legacy' if legacy else 'versioned'}"
            array = module.asarray([[1, 2, 3], [4, 5, 6]], dtype=dtype)
            before = sys.getrefcount(array)
            capsule = export(array)
            same(capsule_name(capsule), names[legacy], what)
            same(take(kind, capsule), None, what)
            del capsule
            same([api.taken_element(kind.encode(), i) for i in range(6)], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], what)
            api.set_taken_element(kind.encode(), 4, 9.0)
            same(array.tolist(), [[1, 2, 3], [4, 9, 6]], what + ": in place")
            if module.__name__ == "numpy":
                same(sys.getrefcount(array), before + 1, what + ": held")
            api.drop_taken(kind.encode())
            same(sys.getrefcount(array), before, what + ": released")
    array = module.asarray([[1, 2, 3], [4, 5, 6]], dtype=module.float32)
    for legacy, export in exporters:
        reason = take("float32", export(array[:, ::2]))
        same(reason is not None and "make the array contiguous" in reason, True, f"strided: {reason}")
        reason = take("float64", export(array))
        same(reason, "from_dlpack: elements are float32, not float64; convert them first", "another type")
    print(f"{module.__name__} {module.__version__}: arrays shared both ways")


def check_npz(numpy):
    with tempfile.TemporaryDirectory() as folder:
        sizes = []
        for compress in (0, 1):
            path = os.path.join(folder, f"{compress}.npz")
            api.write_npz(path.encode(), compress)
            sizes.append(os.path.getsize(path))
            with numpy.load(path) as file:
                same(sorted(file.files), ["half", "n", "x"], "npz")
                same((str(file["x"].dtype), file["x"].tolist()), ("float32", [[0.5, 1.5, 2.5], [3.5, 4.5, 5.5]]), "npz: x")
                same((str(file["half"].dtype), set(file["half"].tolist()), file["half"].shape), ("float16", {-2.0}, (2000,)), "npz: half")
                same((str(file["n"].dtype), file["n"].item(), file["n"].shape), ("int64", 7, ()), "npz: n")
        same(sizes[1] < sizes[0] / 4, True, "npz: compressed")
    print(f"numpy {numpy.__version__}: reads .npz files")


checked = 0
for name in ("numpy", "torch"):
    try:
        module = importlib.import_module(name)
    except ImportError:
        print(f"{name}: not installed, not tested")
        continue
    checked += 1
    exporters = [(True, lambda a: a.__dlpack__())]
    try:
        module.zeros(1).__dlpack__(max_version=(1, 0))
        exporters.append((False, lambda a: a.__dlpack__(max_version=(1, 0))))
    except TypeError:  # NumPy before 2.1 and older PyTorch know the legacy structure only
        pass
    kinds = ["float32", "float64", "float16", "int32", "int64", "uint8"]
    if name == "torch":
        kinds.append("bfloat16")
    check(module, kinds, [legacy for legacy, _ in exporters], exporters)
    if name == "numpy":
        check_npz(module)
    if name == "numpy" and len(exporters) == 2:
        array = module.zeros(3, dtype=module.float32)
        array.flags.writeable = False
        same(take("float32", exporters[1][1](array)), "from_dlpack: the array is read-only; copy it first", "read-only")
sys.exit(0 if checked else 77)
