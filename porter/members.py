"""Members of mindspore.nn.Cell that a graph calls, or that torch.nn.Module lacks: a network that gives one of these names a meaning of its own breaks."""

from __future__ import annotations

CELL_MEMBERS = frozenset(
    [
        "add_flags", "add_flags_recursive", "bprop_debug", "cast_inputs", "cell_init_args", "cells", "cells_and_names", "check_names",
        "check_names_and_refresh_name", "cls_name", "compile", "compile_and_run", "compile_cache", "compile_phase", "compiled", "construct",
        "create_time", "enable_backward_hook", "exist_names", "exist_objs", "extend_repr", "generate_scope", "get_flags",
        "get_func_graph_proto", "get_inputs", "get_mixed_precision_type", "get_parameters", "get_scope", "get_sub_cell", "global_cells",
        "has_bprop", "init_parameters_data", "insert_child_to_cell", "insert_param_to_cell", "jit_config_dict", "mixed_precision_type",
        "name_cells", "offload", "parallel_parameter_merge_net_dict", "parallel_parameter_name_list", "param_prefix",
        "parameter_layout_dict", "parameters_and_names", "parameters_broadcast_dict", "parameters_dict", "phase", "phase_cache",
        "pipeline_segment", "pipeline_stage", "recompute", "register_backward_pre_hook", "remove_redundant_parameters",
        "run_construct", "set_boost", "set_broadcast_flag", "set_comm_fusion", "set_data_parallel", "set_grad", "set_inputs",
        "set_jit_config", "set_mixed_precision_type", "set_train", "shard", "to_float", "total_instance_count", "trainable_params",
        "untrainable_params", "update_cell_prefix", "update_cell_type", "update_parameters_name",
    ]
)  # fmt: skip
SHARED = frozenset(["compile"])  # members of torch.nn.Module too: a network has one of its own only where its class says so


def own_name(name: str) -> str:
    """The name that a network's own attribute has in the port: `phase_` for `phase`."""
    return f"{name}_" if name in CELL_MEMBERS else name


def torch_name(name: str) -> str:
    """The name in torch of an attribute of a ported network."""
    return name[:-1] if name.endswith("_") and name[:-1] in CELL_MEMBERS else name
