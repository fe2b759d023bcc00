"""Containers of torch.nn, for the uses that mindspore.nn's containers do not have."""

from mindspore import Parameter, nn


class Prefixed:
    """Remembers the prefix that a parent cell gave, so that what is added later is named in full."""

    prefix = ''

    def update_parameters_name(self, prefix='', recurse=True):
        super().update_parameters_name(prefix, recurse)
        object.__setattr__(self, 'prefix', prefix)

    def adopt(self, name, child):
        """Registers a cell under a name."""
        if child is not None:
            child.update_parameters_name(self.prefix + name + '.')
        self._cells[name] = child

    def renumber(self, children):
        """Registers the cells as 0, 1, 2, ..."""
        self._cells.clear()
        for i, child in enumerate(children):
            self.adopt(str(i), child)


class Module(Prefixed, nn.Cell):
    """torch.nn.Module that only holds others, whose names are in full whenever they are added."""

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if self.prefix and isinstance(value, nn.Cell):
            value.update_parameters_name(self.prefix + name + '.')
        elif self.prefix and isinstance(value, Parameter):
            value.name = self.prefix + name


class Sequential(Prefixed, nn.SequentialCell):
    """torch.nn.Sequential: calls its children in the order of registration, whenever they were added."""

    def construct(self, x):
        for cell in self._cells.values():
            x = cell(x)
        return x

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if self.prefix and isinstance(value, nn.Cell):
            self.adopt(name, value)

    def __getitem__(self, index):
        cells = list(self._cells.items())[index]
        if not isinstance(index, slice):
            return cells[1]
        part = Sequential()
        for name, cell in cells:
            part._cells[name] = cell
        return part

    def __delitem__(self, index):
        cells = list(self._cells.values())
        del cells[index]
        self.renumber(cells)

    def __iter__(self):
        return iter(self._cells.values())

    def add_module(self, name, module):
        """torch.nn.Module.add_module."""
        self.adopt(name, module)

    def append(self, module):
        """torch.nn.Sequential.append."""
        self.adopt(str(len(self)), module)
        return self

    def extend(self, modules):
        """torch.nn.Sequential.extend."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index, module):
        """torch.nn.Sequential.insert."""
        cells = list(self._cells.values())
        cells.insert(index, module)
        self.renumber(cells)
        return self

    def pop(self, key):
        """torch.nn.Sequential.pop."""
        cell = self[key]
        del self[key]
        return cell


class ModuleList(Prefixed, nn.CellList):
    """torch.nn.ModuleList: takes any iterable, may grow later, and its slices leave names alone."""

    def __init__(self, modules=None):
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __getitem__(self, index):
        if not isinstance(index, slice):
            return super().__getitem__(index)
        part = ModuleList()
        for i, cell in enumerate(list(self._cells.values())[index]):
            part._cells[str(i)] = cell
        return part

    def __setitem__(self, index, module):
        self.adopt(str(index % len(self)), module)

    def __delitem__(self, index):
        cells = list(self._cells.values())
        del cells[index]
        self.renumber(cells)

    def __add__(self, other):
        part = ModuleList()
        for i, cell in enumerate([*self, *other]):
            part._cells[str(i)] = cell
        return part

    def add_module(self, name, module):
        """torch.nn.Module.add_module."""
        self.adopt(name, module)

    def append(self, module):
        """torch.nn.ModuleList.append."""
        self.adopt(str(len(self)), module)
        return self

    def extend(self, modules):
        """torch.nn.ModuleList.extend."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index, module):
        """torch.nn.ModuleList.insert."""
        cells = list(self._cells.values())
        cells.insert(index, module)
        self.renumber(cells)

    def pop(self, key):
        """torch.nn.ModuleList.pop."""
        cell = self[key]
        del self[key]
        return cell


class ModuleDict(Prefixed, nn.CellDict):
    """torch.nn.ModuleDict: its values may be containers, and it may grow later."""

    def __init__(self, modules=None):
        super().__init__()
        if type(self).construct is not ModuleDict.construct:
            del self.__cell_as_dict__  # with this mark GRAPH mode takes it for a dict, which cannot be called
        if modules is not None:
            self.update(modules)

    def __setitem__(self, key, module):
        self._validate_key(key)
        self.adopt(key, module)

    def add_module(self, name, module):
        """torch.nn.Module.add_module."""
        self[name] = module


class ParameterList(Prefixed, nn.Cell):
    """torch.nn.ParameterList."""

    def __init__(self, values=None):
        super().__init__()
        self.size = 0
        if values is not None:
            self.extend(values)

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [getattr(self, str(i)) for i in range(*index.indices(self.size))]
        return getattr(self, str(index % self.size))

    def __setitem__(self, index, value):
        setattr(self, str(index % self.size), value)

    def __iter__(self):
        return iter([getattr(self, str(i)) for i in range(self.size)])

    def append(self, value):
        """torch.nn.ParameterList.append."""
        parameter = value if isinstance(value, Parameter) else Parameter(value)
        setattr(self, str(self.size), parameter)
        parameter.name = self.prefix + str(self.size)
        self.size += 1
        return self

    def extend(self, values):
        """torch.nn.ParameterList.extend."""
        for value in values:
            self.append(value)
        return self


class ParameterDict(Prefixed, nn.Cell):
    """torch.nn.ParameterDict."""

    def __init__(self, parameters=None):
        super().__init__()
        self.names = []
        if parameters is not None:
            self.update(parameters)

    def __len__(self):
        return len(self.names)

    def __getitem__(self, key):
        return getattr(self, key)

    def __setitem__(self, key, value):
        if key not in self.names:
            self.names.append(key)
        parameter = value if isinstance(value, Parameter) else Parameter(value)
        setattr(self, key, parameter)
        parameter.name = self.prefix + key

    def __contains__(self, key):
        return key in self.names

    def __iter__(self):
        return iter(self.names)

    def keys(self):
        """torch.nn.ParameterDict.keys."""
        return list(self.names)

    def values(self):
        """torch.nn.ParameterDict.values."""
        return [getattr(self, name) for name in self.names]

    def items(self):
        """torch.nn.ParameterDict.items."""
        return [(name, getattr(self, name)) for name in self.names]

    def update(self, parameters):
        """torch.nn.ParameterDict.update."""
        pairs = parameters.items() if hasattr(parameters, 'items') else parameters
        for key, value in pairs:
            self[key] = value


def merged(*dictionaries):
    """`{**a, **b}`: a graph reads the wrong entries of such a display."""
    result = {}
    for dictionary in dictionaries:
        for key, value in dictionary.items():
            result[key] = value
    return result
