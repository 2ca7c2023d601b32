"""The chat template's one source; training saves it inside tokenizer_config.json."""

TEMPLATE = r"""{%- set opening = messages[0].content if messages[0].role == 'system' else '' %}
{%- if opening or tools %}
{{- '<|im_start|>system\n' + opening }}
{%- if tools %}
{{- '\n\n' if opening else '' }}
{{- 'You can call these tools:\n<tools>' }}
{%- for tool in tools %}
{{- '\n' + (tool.function if tool.function is defined else tool) | tojson }}
{%- endfor %}
{{- '\n</tools>' }}
{%- endif %}
{{- '<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role != 'system' or not loop.first %}
{{- '<|im_start|>' + message.role + '\n' }}
{%- if message.role == 'tool' %}
{{- '<tool_response>\n' + message.content + '\n</tool_response>' }}
{%- else %}
{{- message.content or '' }}
{%- endif %}
{%- for call in message.tool_calls or [] %}
{%- set given = call.function.arguments %}
{{- '\n' if message.content or not loop.first else '' }}
{{- '<tool_call>\n{"name": ' + call.function.name | tojson + ', "arguments": ' }}
{{- (given if given is string else given | tojson) + '}\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\n' }}
{%- endif %}"""
