"""SQL text for looking up many keys at once, whatever the planner believes of the table."""


def each(columns: str, table: str, more: str = "", key: str = "id") -> str:
    """SQL of the rows `f` of a table whose `key` is one of $2, one look into the index for each, in the order of $2.

    With `= ANY($2)` the planner may take all rows of the tenant and compare each with each of $2, which for thousands
    of ids takes minutes: it knows neither how many they are nor how large a tenant has become.
    """
    return f"""unnest($2::uuid[]) AS asked (asked_id) CROSS JOIN LATERAL (
        SELECT {columns} FROM {table} WHERE tenant_id = $1 AND {key} = asked_id {more or "OFFSET 0"}) AS f"""
