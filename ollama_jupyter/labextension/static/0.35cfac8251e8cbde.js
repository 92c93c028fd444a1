"use strict";(self.rspackChunkollama_jupyter=self.rspackChunkollama_jupyter||[]).push([[0],{16(t,e,a){var r=a(17),n=a.n(r),o=a(18),i=(a.n(o))()(n());i.push([t.id,`.jp-OllamaStatus-body {
  min-width: 28rem;
  max-width: 44rem;
  padding-bottom: 1rem;
  color: var(--jp-ui-font-color1);
  font-size: var(--jp-ui-font-size1);
  line-height: 1.5;
}

.jp-OllamaStatus p {
  margin: 0;
}

.jp-OllamaStatus-summary {
  display: flex;
  align-items: baseline;
  gap: 0.5em;
}

.jp-OllamaStatus-light {
  flex: none;
  align-self: center;
  width: 0.6em;
  height: 0.6em;
  border-radius: 50%;
  background: var(--jp-success-color1);
}

.jp-mod-unavailable .jp-OllamaStatus-light {
  background: var(--jp-error-color1);
}

.jp-OllamaStatus-note,
.jp-OllamaStatus-count {
  color: var(--jp-ui-font-color2);
}

.jp-OllamaStatus-reason {
  padding-top: 0.5em;
  overflow-wrap: anywhere;
}

.jp-OllamaStatus code {
  padding: 0.1em 0.35em;
  border-radius: var(--jp-border-radius);
  background: var(--jp-layout-color2);
  font-family: var(--jp-code-font-family);
  font-size: var(--jp-code-font-size);
}

.jp-OllamaStatus h3 {
  margin: 1.5em 0 0.4em;
  font-size: var(--jp-ui-font-size1);
  font-weight: 600;
}

.jp-OllamaStatus-count {
  padding-inline-start: 0.25em;
  font-weight: 400;
}

.jp-OllamaStatus table {
  width: 100%;
  border-collapse: collapse;
}

.jp-OllamaStatus :is(th, td) {
  padding-block: 0.4em;
  padding-inline: 2em 0;
  border-bottom: var(--jp-border-width) solid var(--jp-border-color2);
  font-weight: 400;
  text-align: start;
  vertical-align: baseline;
}

.jp-OllamaStatus :is(th, td):first-child {
  width: 100%;
  padding-inline-start: 0;
  overflow-wrap: anywhere;
}

.jp-OllamaStatus tbody tr:last-child > * {
  border-bottom: none;
}

.jp-OllamaStatus thead th {
  color: var(--jp-ui-font-color2);
  font-size: var(--jp-ui-font-size0);
}

.jp-OllamaStatus tbody th {
  font-family: var(--jp-code-font-family);
  font-size: var(--jp-code-font-size);
}

.jp-OllamaStatus .jp-mod-number {
  font-variant-numeric: tabular-nums;
  text-align: end;
  white-space: nowrap;
}
`,""]),a.d(e,{},{A:i})},18(t){t.exports=function(t){var e=[];return e.toString=function(){return this.map(function(e){var a="",r=void 0!==e[5];return e[4]&&(a+="@supports (".concat(e[4],") {")),e[2]&&(a+="@media ".concat(e[2]," {")),r&&(a+="@layer".concat(e[5].length>0?" ".concat(e[5]):""," {")),a+=t(e),r&&(a+="}"),e[2]&&(a+="}"),e[4]&&(a+="}"),a}).join("")},e.i=function(t,a,r,n,o){"string"==typeof t&&(t=[[null,t,void 0]]);var i={};if(r)for(var l=0;l<this.length;l++){var s=this[l][0];null!=s&&(i[s]=!0)}for(var c=0;c<t.length;c++){var u=[].concat(t[c]);r&&i[u[0]]||(void 0!==o&&(void 0===u[5]||(u[1]="@layer".concat(u[5].length>0?" ".concat(u[5]):""," {").concat(u[1],"}")),u[5]=o),a&&(u[2]&&(u[1]="@media ".concat(u[2]," {").concat(u[1],"}")),u[2]=a),n&&(u[4]?(u[1]="@supports (".concat(u[4],") {").concat(u[1],"}"),u[4]=n):u[4]="".concat(n)),e.push(u))}},e}},17(t){t.exports=function(t){return t[1]}},10(t){var e=[];function a(t){for(var a=-1,r=0;r<e.length;r++)if(e[r].identifier===t){a=r;break}return a}function r(t,r){for(var n={},o=[],i=0;i<t.length;i++){var l=t[i],s=r.base?l[0]+r.base:l[0],c=n[s]||0,u="".concat(s," ").concat(c);n[s]=c+1;var p=a(u),d={css:l[1],media:l[2],sourceMap:l[3],supports:l[4],layer:l[5]};if(-1!==p)e[p].references++,e[p].updater(d);else{var m=function(t,e){var a=e.domAPI(e);return a.update(t),function(e){e?(e.css!==t.css||e.media!==t.media||e.sourceMap!==t.sourceMap||e.supports!==t.supports||e.layer!==t.layer)&&a.update(t=e):a.remove()}}(d,r);r.byIndex=i,e.splice(i,0,{identifier:u,updater:m,references:1})}o.push(u)}return o}t.exports=function(t,n){var o=r(t=t||[],n=n||{});return function(t){t=t||[];for(var i=0;i<o.length;i++){var l=a(o[i]);e[l].references--}for(var s=r(t,n),c=0;c<o.length;c++){var u=a(o[c]);0===e[u].references&&(e[u].updater(),e.splice(u,1))}o=s}}},12(t){var e={};t.exports=function(t,a){var r=function(t){if(void 0===e[t]){var a=document.querySelector(t);if(window.HTMLIFrameElement&&a instanceof window.HTMLIFrameElement)try{a=a.contentDocument.head}catch(t){a=null}e[t]=a}return e[t]}(t);if(!r)throw Error("Couldn't find a style target. This probably means that the value for the 'insert' parameter is invalid.");r.appendChild(a)}},14(t){t.exports=function(t){var e=document.createElement("style");return t.setAttributes(e,t.attributes),t.insert(e,t.options),e}},13(t,e,a){t.exports=function(t){var e=a.nc;e&&t.setAttribute("nonce",e)}},11(t){t.exports=function(t){if("u"<typeof document)return{update:function(){},remove:function(){}};var e=t.insertStyleElement(t);return{update:function(a){var r,n,o;r="",a.supports&&(r+="@supports (".concat(a.supports,") {")),a.media&&(r+="@media ".concat(a.media," {")),(n=void 0!==a.layer)&&(r+="@layer".concat(a.layer.length>0?" ".concat(a.layer):""," {")),r+=a.css,n&&(r+="}"),a.media&&(r+="}"),a.supports&&(r+="}"),(o=a.sourceMap)&&"u">typeof btoa&&(r+="\n/*# sourceMappingURL=data:application/json;base64,".concat(btoa(unescape(encodeURIComponent(JSON.stringify(o))))," */")),t.styleTagTransform(r,e,t.options)},remove:function(){var t;null===(t=e).parentNode||t.parentNode.removeChild(t)}}}},15(t){t.exports=function(t,e){if(e.styleSheet)e.styleSheet.cssText=t;else{for(;e.firstChild;)e.removeChild(e.firstChild);e.appendChild(document.createTextNode(t))}}},9(t,e,a){var r=a(10),n=a.n(r),o=a(11),i=a.n(o),l=a(12),s=a.n(l),c=a(13),u=a.n(c),p=a(14),d=a.n(p),m=a(15),f=a.n(m),v=a(16),h={};h.styleTagTransform=f(),h.setAttributes=u(),h.insert=s().bind(null,"head"),h.domAPI=i(),h.insertStyleElement=d(),n()(v.A,h),v.A&&v.A.locals&&v.A.locals}}]);